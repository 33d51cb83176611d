/**
 * The grammar of the command line: nouns, verbs, options. Actions are loaded when they run, so that `--help` and mistakes cost
 * nothing but this file and commander.
 */
import { Command, CommanderError } from 'commander';
import type { ConsumeOptions } from './commands/consume.ts';
import type { DevOptions } from './commands/dev.ts';
import type { ProduceOptions } from './commands/produce.ts';
import type {
  AlterOptions,
  CreateOptions,
  DeleteOptions,
  DeleteRecordsOptions,
  GrowOptions,
  ListOptions,
} from './commands/topic.ts';
import { describeFailure, exitCode, formatFailure } from './failure.ts';
import { checked, common } from './grammar.ts';
import {
  collectName,
  collectPair,
  collectPartitions,
  parseAcks,
  parseCount,
  parseDuration,
  parseEnd,
  parsePlace,
  parsePositive,
} from './parse.ts';
import { addBroker, addCluster, addController, addPartition } from './program-cluster.ts';
import type { CommonOptions } from './session.ts';
import { isPipeError, type Terminal } from './terminal.ts';

/** Runs one command line (without node and script) and answers the exit code. Never throws, never exits. */
export async function run(terminal: Terminal, args: readonly string[]): Promise<number> {
  const program = createProgram(terminal);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return exitCode.ok;
  } catch (error) {
    if (isPipeError(error)) return exitCode.ok;
    // commander has written its text already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.ok : exitCode.usage;
    const failure = describeFailure(error);
    const asJson = /^(nd)?json$/.test(outputIn(args) ?? '');
    if (!terminal.stderr.destroyed) terminal.stderr.write(formatFailure(failure, asJson));
    return failure.exitCode;
  }
}

function outputIn(args: readonly string[]): string | undefined {
  const at = args.findIndex((arg) => arg === '-o' || arg === '--output');
  return at >= 0 ? args[at + 1] : args.find((arg) => arg.startsWith('--output='))?.slice('--output='.length);
}

function createProgram(terminal: Terminal): Command {
  const program = new Command('fleetmq')
    .description('A distributed message log: topics, records, clusters.')
    .version('0.1.0')
    .showSuggestionAfterError()
    .addHelpText('after', '\nExit codes: 0 ok, 1 failed, 2 usage, 3 unavailable, 4 denied.');
  addTopic(program, terminal);
  addProduce(program, terminal);
  addConsume(program, terminal);
  addCluster(program, terminal);
  addController(program, terminal);
  addBroker(program, terminal);
  addPartition(program, terminal);
  addDev(program, terminal);
  for (const command of everyCommand(program)) {
    command.exitOverride().configureOutput({
      writeOut: (text) => void terminal.stdout.write(text),
      writeErr: (text) => void terminal.stderr.write(text),
    });
  }
  return program;
}

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

function addTopic(program: Command, terminal: Terminal): void {
  const topic = program.command('topic').description('make, show, change and delete topics');
  const outputs = 'table, json or ndjson';
  common(topic.command('create <name>'), outputs)
    .description('make a topic')
    .option('-p, --partitions <count>', 'how many partitions (default 1)', checked(parsePositive))
    .option('-r, --replication-factor <count>', 'replicas of each partition (default: up to 3)', checked(parsePositive))
    .option('-c, --config <name=value>', 'a setting; may be given more than once', checked(collectPair))
    .option('--if-not-exists', 'a topic that is there already is no error')
    .action(async (name: string, options: CreateOptions) =>
      (await import('./commands/topic.ts')).createTopic(terminal, name, options),
    );
  common(topic.command('list'), outputs)
    .description('the topics')
    .option('--prefix <text>', 'only names that begin so')
    .option('--internal', "also the cluster's own topics")
    .action(async (options: ListOptions) => (await import('./commands/topic.ts')).listTopics(terminal, options));
  common(topic.command('describe <name>'), outputs)
    .description('leaders, replicas and settings of a topic')
    .action(async (name: string, options: CommonOptions) =>
      (await import('./commands/topic.ts')).describeTopic(terminal, name, options),
    );
  common(topic.command('alter <name>'), outputs)
    .description('change settings of a topic')
    .option('-c, --config <name=value>', 'a new value; may be given more than once', checked(collectPair))
    .option('--remove <name>', "back to the cluster's value; may be given more than once", checked(collectName))
    .option('--dry-run', 'only check')
    .action(async (name: string, options: AlterOptions) =>
      (await import('./commands/topic.ts')).alterTopic(terminal, name, options),
    );
  common(
    topic.command('grow').argument('<name>').argument('<total>', 'partitions in all', checked(parsePositive)),
    outputs,
  )
    .description('add partitions; records with a key may go to other partitions from then on')
    .option('--dry-run', 'only show what would be')
    .action(async (name: string, total: number, options: GrowOptions) =>
      (await import('./commands/topic.ts')).growTopic(terminal, { name, total }, options),
    );
  addDelete(topic, terminal, outputs);
}

function addDelete(topic: Command, terminal: Terminal, outputs: string): void {
  common(topic.command('delete-records <name>'), outputs)
    .description('delete the oldest records of a topic for ever')
    .requiredOption('--before <place>', 'latest, an offset or @<time>', checked(parsePlace))
    .option('-p, --partition <numbers>', 'only of these partitions: 3, 0,2 or 0-5', checked(collectPartitions))
    .option('--yes', 'do not ask')
    .action(async (name: string, options: DeleteRecordsOptions) =>
      (await import('./commands/topic.ts')).deleteRecords(terminal, name, options),
    );
  common(topic.command('delete <name>'), outputs)
    .description('delete a topic with all its records')
    .option('--yes', 'do not ask')
    .action(async (name: string, options: DeleteOptions) =>
      (await import('./commands/topic.ts')).deleteTopic(terminal, name, options),
    );
}

function addProduce(program: Command, terminal: Terminal): void {
  common(program.command('produce <topic>'), 'summary per partition: none, table, json or ndjson (default none)')
    .description('send each line of stdin as a record')
    .option('-f, --file <path>', 'read this file instead of stdin')
    .option('--ndjson', 'lines are records: {"key","value","headers","partition","timestamp"}')
    .option('-k, --key <text>', 'key of every record')
    .option('-K, --key-separator <text>', 'what parts the key from the value in a line')
    .option('-p, --partition <number>', 'partition of every record', checked(parseCount))
    .option('-H, --header <name=value>', 'a header of every record; may be given more than once', checked(collectPair))
    .option('-z, --compression <codec>', 'none, lz4, zstd or snappy')
    .option(
      '-a, --acks <level>',
      'none, leader, majority, all or a count of replicas (default all)',
      checked(parseAcks),
    )
    .option('--tombstones', 'an empty value is a tombstone')
    .action(async (topic: string, options: ProduceOptions) =>
      (await import('./commands/produce.ts')).produce(terminal, topic, options),
    );
}

function addConsume(program: Command, terminal: Terminal): void {
  common(program.command('consume <topic>'), 'text (values, one per line), json or ndjson (default text)')
    .description('write records to stdout')
    .option('--from <place>', 'earliest, latest, an offset, -<n>, @<time> (default latest)', checked(parsePlace))
    .option('--until <end>', 'end, an offset, @<time> (default: never)', checked(parseEnd))
    .option('-n, --count <count>', 'end after so many records', checked(parseCount))
    .option('-p, --partition <numbers>', 'only these partitions: 3, 0,2 or 0-5', checked(collectPartitions))
    .option('-f, --format <format>', 'such as "%p %o %k %s\\n"; %t %p %o %k %s %h %T %K %S')
    .option('--out-of-range <policy>', 'when an offset is gone: earliest, latest or error (default error)')
    .action(async (topic: string, options: ConsumeOptions) =>
      (await import('./commands/consume.ts')).consume(terminal, topic, options),
    );
}

function addDev(program: Command, terminal: Terminal): void {
  program
    .command('dev')
    .description('start a whole fleet on this machine, without logins, until Ctrl-C')
    .option('--controllers <count>', 'how many controllers', checked(parsePositive), 3)
    .option('--brokers <count>', 'how many brokers', checked(parsePositive), 3)
    .option('--data <folder>', 'where everything is kept', '.fleetmq')
    .option(
      '--port <base>',
      'port of the gateway, the others follow (broker n: +10n, controller n: +101+10n); 0: free ports',
      checked(parseCount),
      7600,
    )
    .option('--free-ports', 'the same as --port 0')
    .option('--timeout <duration>', 'how long brokers may take to come into service', checked(parseDuration), 60_000)
    .option('--log-level <level>', 'of every process')
    .option('-q, --quiet', 'nothing on stderr but errors')
    .action(async (options: DevOptions & { readonly freePorts?: boolean }) => {
      const { dev } = await import('./commands/dev.ts');
      await dev(terminal, { ...options, ...(options.freePorts === true && { port: 0 }) });
    });
}
