/** What the grammars of all nouns share: checked arguments, and the options of commands that talk to a cluster. */
import { type Command, InvalidArgumentError } from 'commander';
import { parseDuration, UsageError } from './parse.ts';

/** commander reports what parsers throw only when it is of its own class. */
export function checked<Value>(
  parse: (text: string, before?: never) => Value,
): (text: string, before: unknown) => Value {
  return (text, before) => {
    try {
      return parse(text, before as never);
    } catch (error) {
      if (error instanceof UsageError) throw new InvalidArgumentError(error.message);
      throw error;
    }
  };
}

/** The options of every command that talks to a cluster. */
export function common(command: Command, outputs: string): Command {
  return command
    .option('--url <url>', 'gateway (default: $FLEETMQ_URL, or http://127.0.0.1:7600)')
    .option('--brokers <list>', 'client listeners of brokers, host:port with commas, instead of a gateway')
    .option('--timeout <duration>', 'bound of each call', checked(parseDuration), 30_000)
    .option('-o, --output <format>', outputs)
    .option('-q, --quiet', 'nothing on stderr but errors');
}
