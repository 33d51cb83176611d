/** The options that every command has, and the connection that they describe. */
import type { Client } from '@fleetmq/client';
import { UsageError } from './parse.ts';
import type { OutputFormat } from './print.ts';
import { type Terminal, write } from './terminal.ts';

export interface CommonOptions {
  readonly url?: string;
  readonly brokers?: string;
  readonly timeout: number;
  readonly output?: string;
  readonly quiet?: boolean;
}

const pingTimeoutMs = 5000;
const defaultUrl = 'http://127.0.0.1:7600';

/** `-o`, checked against what the command can print. */
export function outputOf<Format extends string>(
  options: CommonOptions,
  formats: readonly Format[],
  standard: Format,
): Format {
  const { output = standard } = options;
  if ((formats as readonly string[]).includes(output)) return output as Format;
  throw new UsageError(`output "${output}" is not one of ${formats.join(', ')}`);
}

export const listFormats: readonly OutputFormat[] = ['table', 'json', 'ndjson'];

/** Runs `use` on a connection that is closed afterwards. The client is loaded here: `--help` does without it. */
export async function withClient<Result>(
  terminal: Terminal,
  options: CommonOptions,
  use: (client: Client) => Promise<Result>,
): Promise<Result> {
  const { connect } = await import('@fleetmq/client/node');
  const { brokers, timeout } = options;
  const url = brokers === undefined ? (options.url ?? (terminal.env['FLEETMQ_URL'] || defaultUrl)) : undefined;
  if (brokers !== undefined && options.url !== undefined) throw new UsageError('give --url or --brokers, not both');
  await using client = await connect({
    url,
    brokers,
    clientId: 'fleetmq-cli',
    timeoutMs: timeout,
    signal: terminal.interrupted,
    ping: false,
  });
  // Nobody there is said soon; a cluster that is there gets the whole time.
  await client.ping({ timeoutMs: Math.min(timeout, pingTimeoutMs), signal: terminal.interrupted });
  return await use(client);
}

/** A line for people, on stderr; nothing with `-q`. */
export async function say(terminal: Terminal, options: Pick<CommonOptions, 'quiet'>, text: string): Promise<void> {
  if (options.quiet !== true) await write(terminal.stderr, `${text}\n`);
}

/** Asks before something is destroyed. USAGE without a terminal to ask on. */
export async function confirm(terminal: Terminal, question: string, isSure: boolean | undefined): Promise<void> {
  if (isSure === true) return;
  if (!terminal.isInteractive) throw new UsageError(`${question} There is no terminal to ask on: give --yes`);
  const { createInterface } = await import('node:readline/promises');
  const lines = createInterface({ input: terminal.stdin, output: terminal.stderr });
  try {
    const answer = await lines.question(`${question} [y/N] `, { signal: terminal.interrupted });
    if (!/^y(es)?$/i.test(answer.trim())) throw new UsageError('nothing was done');
  } finally {
    lines.close();
  }
}
