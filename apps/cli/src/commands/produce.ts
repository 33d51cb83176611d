/**
 * `fleetmq produce TOPIC`: each line of stdin (or of a file) is a record. Makes no promise per record: it reads as fast as the
 * producer takes it, and the delivery reports make the summary. Ctrl-C stops the reading; what was read is still delivered.
 */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { CompressionName, DeliveryReport, ProducerRecord } from '@fleetmq/client';
import type { DomainError } from '@fleetmq/shared';
import { linesOf } from '../lines.ts';
import { type parseAcks, UsageError } from '../parse.ts';
import { type Column, formatTable, printRows } from '../print.ts';
import { startProgress } from '../progress.ts';
import { recordFromJson } from '../record-json.ts';
import { type CommonOptions, outputOf, say, withClient } from '../session.ts';
import { type Terminal, write } from '../terminal.ts';

export interface ProduceOptions extends CommonOptions {
  readonly file?: string;
  readonly ndjson?: boolean;
  readonly key?: string;
  readonly keySeparator?: string;
  readonly partition?: number;
  readonly header?: readonly (readonly [string, string])[];
  readonly compression?: string;
  readonly acks?: ReturnType<typeof parseAcks>;
  readonly tombstones?: boolean;
}

type Input = ProducerRecord<Uint8Array, Uint8Array>;

interface Extent {
  readonly partition: number;
  records: number;
  first: number;
  last: number;
}

export async function produce(terminal: Terminal, topic: string, options: ProduceOptions): Promise<void> {
  const format = outputOf(options, ['none', 'table', 'json', 'ndjson'], 'none');
  const toRecord = recordMaker(topic, options);
  const source = await openSource(terminal, options);
  await withClient(terminal, options, async (client) => {
    const extents = new Map<number, Extent>();
    let failure: { readonly error: DomainError; records: number } | undefined;
    let delivered = 0;
    const startedAtMs = performance.now();
    const progress = await startProgress(terminal, options, source.size);
    const producer = client.producer<Uint8Array, Uint8Array>({
      key: bytesSerde,
      value: bytesSerde,
      ...(options.acks !== undefined && { acks: options.acks }),
      ...(options.compression !== undefined && { compression: options.compression as CompressionName }),
      batchBytes: 512 * 1024,
      lingerMs: terminal.isInteractive ? 5 : 20,
      onDelivery: (report) => {
        if (report.error === undefined) {
          delivered += report.recordCount;
          note(extents, report);
          return;
        }
        failure ??= { error: report.error, records: 0 };
        failure.records += report.recordCount;
      },
    });
    try {
      for await (const lines of linesOf(source.chunks)) {
        await producer.sendBatch(lines.map(toRecord), { signal: terminal.interrupted });
        progress.update(source.bytesRead(), `${(source.bytesRead() / 1024 / 1024).toFixed(1)} MiB`);
        if (failure !== undefined) break;
      }
    } catch (error) {
      if (!terminal.interrupted.aborted) throw error;
    } finally {
      await producer.close();
      progress.stop();
    }
    await printExtents(terminal, format, [...extents.values()]);
    const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1);
    await say(terminal, options, `${delivered} records to ${topic} in ${seconds} s`);
    if (failure !== undefined) throw failure.error;
  });
}

const bytesSerde = { encode: (bytes: Uint8Array) => bytes, decode: (bytes: Uint8Array) => bytes };

/** How a line becomes a record, decided once. */
function recordMaker(topic: string, options: ProduceOptions): (line: Uint8Array) => Input {
  const { ndjson, key, keySeparator, partition, tombstones } = options;
  if (ndjson === true) {
    if (key !== undefined || keySeparator !== undefined) throw new UsageError('--ndjson records bring their own keys');
    const decoder = new TextDecoder();
    return (line) => ({
      ...recordFromJson(decoder.decode(line), topic),
      ...(partition !== undefined && { partition }),
    });
  }
  if (key !== undefined && keySeparator !== undefined) throw new UsageError('give --key or --key-separator, not both');
  if (keySeparator === '') throw new UsageError('the key separator is empty');
  const headers = options.header;
  const fixedKey = key === undefined ? null : Buffer.from(key, 'utf8');
  const separator = keySeparator === undefined ? undefined : Buffer.from(withTabs(keySeparator), 'utf8');
  const toValue = (bytes: Uint8Array): Uint8Array | null => (tombstones === true && bytes.length === 0 ? null : bytes);
  return (line) => {
    if (separator === undefined) return { topic, key: fixedKey, value: toValue(line), partition, headers };
    const at = Buffer.from(line.buffer, line.byteOffset, line.byteLength).indexOf(separator);
    if (at < 0) throw new UsageError(`a line has no separator ${JSON.stringify(keySeparator)}`);
    const value = toValue(line.subarray(at + separator.length));
    return { topic, key: line.subarray(0, at), value, partition, headers };
  };
}

/** A tab is hard to type as an argument. */
function withTabs(text: string): string {
  return text.replaceAll('\\t', '\t');
}

interface Source {
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Undefined for a pipe. */
  readonly size: number | undefined;
  readonly bytesRead: () => number;
}

async function openSource(terminal: Terminal, { file }: ProduceOptions): Promise<Source> {
  const size = file === undefined ? undefined : (await stat(file)).size;
  const stream = file === undefined ? terminal.stdin : createReadStream(file, { highWaterMark: 256 * 1024 });
  terminal.interrupted.addEventListener('abort', () => stream.destroy(), { once: true });
  let bytes = 0;
  async function* count(): AsyncGenerator<Uint8Array> {
    for await (const chunk of stream) {
      const piece = typeof chunk === 'string' ? Buffer.from(chunk) : (chunk as Uint8Array);
      bytes += piece.length;
      yield piece;
    }
  }
  return { chunks: count(), size, bytesRead: () => bytes };
}

function note(extents: Map<number, Extent>, { partition, baseOffset = 0, recordCount }: DeliveryReport): void {
  const last = baseOffset + recordCount - 1;
  const extent = extents.get(partition);
  if (extent === undefined) {
    extents.set(partition, { partition, records: recordCount, first: baseOffset, last });
    return;
  }
  extent.records += recordCount;
  extent.first = Math.min(extent.first, baseOffset);
  extent.last = Math.max(extent.last, last);
}

const columns: Column<Extent>[] = [
  { title: 'PARTITION', value: ({ partition }) => partition, align: 'right' },
  { title: 'RECORDS', value: ({ records }) => records, align: 'right' },
  { title: 'FIRST', value: ({ first }) => first, align: 'right' },
  { title: 'LAST', value: ({ last }) => last, align: 'right' },
];

async function printExtents(
  terminal: Terminal,
  format: 'none' | 'table' | 'json' | 'ndjson',
  extents: readonly Extent[],
): Promise<void> {
  if (format === 'none') return;
  const rows = extents.toSorted((a, b) => a.partition - b.partition);
  if (format === 'table') await write(terminal.stdout, await formatTable(terminal, rows, columns));
  else await printRows(terminal, format, rows, columns, (row) => row);
}
