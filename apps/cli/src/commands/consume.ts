/**
 * `fleetmq consume TOPIC`: records to stdout, one per line, until `--until`, `-n`, Ctrl-C, or a reader that leaves. A slow reader
 * slows the reading down; nothing is held in memory beyond the consumer's bound.
 */
import type { Client, ConsumedRecord, ConsumerOptions, Until } from '@fleetmq/client';
import { compileFormat } from '../format.ts';
import { type Place, type parseEnd, UsageError } from '../parse.ts';
import { recordToJson } from '../record-json.ts';
import { type CommonOptions, outputOf, say, withClient } from '../session.ts';
import { type Terminal, write } from '../terminal.ts';

export interface ConsumeOptions extends CommonOptions {
  readonly from?: Place;
  readonly until?: ReturnType<typeof parseEnd>;
  readonly count?: number;
  readonly partition?: readonly number[];
  readonly format?: string;
  readonly outOfRange?: string;
}

type Item = ConsumedRecord<Uint8Array, Uint8Array>;

/** Output is written in pieces of about this size. */
const pieceBytes = 64 * 1024;

export async function consume(terminal: Terminal, topic: string, options: ConsumeOptions): Promise<void> {
  const encode = encoderOf(options);
  let count = 0;
  await withClient(terminal, options, async (client) => {
    const consumer = client.consumer<Uint8Array, Uint8Array>(await consumerOptions(client, topic, options, terminal));
    let left = options.count ?? Number.POSITIVE_INFINITY;
    try {
      if (left === 0) return;
      for await (const { records } of consumer.batches()) {
        const taken = records.length > left ? records.slice(0, left) : records;
        await writeAll(terminal, taken, encode);
        count += taken.length;
        left -= taken.length;
        if (left === 0) break;
      }
    } catch (error) {
      if (!terminal.interrupted.aborted) throw error;
    } finally {
      await consumer.close();
    }
  });
  await say(terminal, options, `${count} records`);
}

async function writeAll(
  terminal: Terminal,
  records: readonly Item[],
  encode: (record: Item) => Uint8Array,
): Promise<void> {
  let pieces: Uint8Array[] = [];
  let bytes = 0;
  for (const record of records) {
    const piece = encode(record);
    pieces.push(piece);
    bytes += piece.length;
    if (bytes < pieceBytes) continue;
    await write(terminal.stdout, Buffer.concat(pieces));
    pieces = [];
    bytes = 0;
  }
  if (bytes > 0) await write(terminal.stdout, Buffer.concat(pieces));
}

const lineFeed = Buffer.from('\n');

function encoderOf(options: ConsumeOptions): (record: Item) => Uint8Array {
  const output = outputOf(options, ['text', 'ndjson', 'json'], 'text');
  if (options.format !== undefined) {
    if (output !== 'text') throw new UsageError('give -f or -o, not both');
    return compileFormat(options.format);
  }
  if (output === 'text') return ({ valueBytes }) => Buffer.concat([valueBytes ?? new Uint8Array(), lineFeed]);
  return (record) => Buffer.from(`${JSON.stringify(recordToJson(record))}\n`, 'utf8');
}

async function consumerOptions(
  client: Client,
  topic: string,
  options: ConsumeOptions,
  terminal: Terminal,
): Promise<ConsumerOptions<Uint8Array, Uint8Array>> {
  const { from = 'latest', until, partition, outOfRange = 'error', timeout } = options;
  const rest = {
    ...(until !== undefined && { until: until satisfies Until }),
    outOfRange: policyOf(outOfRange),
    signal: terminal.interrupted,
    unavailableTimeoutMs: timeout,
  };
  if (partition === undefined && !(typeof from === 'object' && 'back' in from)) return { topic, from, ...rest };
  const partitions = partition?.map((number) => ({ topic, partition: number }));
  if (!(typeof from === 'object' && 'back' in from)) {
    return { assignment: partitions as NonNullable<typeof partitions>, from, ...rest };
  }
  const [starts, ends] = await Promise.all([
    client.admin.listOffsets(partitions ?? topic, 'earliest'),
    client.admin.listOffsets(partitions ?? topic, 'latest'),
  ]);
  const assignment = ends.map((end, index) => ({
    topic,
    partition: end.partition,
    from: Math.max(starts[index]?.offset ?? 0, end.offset - from.back),
  }));
  return { assignment, ...rest };
}

function policyOf(text: string): 'earliest' | 'latest' | 'error' {
  if (text === 'earliest' || text === 'latest' || text === 'error') return text;
  throw new UsageError(`--out-of-range is "${text}", expected earliest, latest or error`);
}
