/**
 * The worst realtime lag: for how long, provably, something had been in the log that a poll should have reached and did not. A process
 * that stands at an offset while records above it are known is late by the time from then until its last poll there began.
 */
import type { CheckContext } from './context.ts';
import type { PartitionOrder } from './partition-order.ts';

export interface Lag {
  readonly lagMs: number;
  readonly partition: string;
  readonly process: number;
  /** The process had polled up to here; -1: nothing yet. */
  readonly offset: number;
  /** When the poll began. */
  readonly atMs: number;
}

/** undefined: nobody was late. */
export interface Lags {
  readonly worst: Lag | undefined;
  /** Counted from the moment at which all faults were over. */
  readonly afterHealing: Lag | undefined;
}

type Measured = { -readonly [Key in keyof Lags]: Lags[Key] };

interface Reader {
  readonly process: number;
  /** When the last poll of its assignment began. */
  polledMs: number;
  /** Up to where it has polled, by partition; without those whose start is unknown. */
  readonly offsets: Map<number, number>;
}

const never = Number.NEGATIVE_INFINITY;

export function measureLags(context: CheckContext): Lags {
  const { readings, operations } = context.ledger;
  const readers = new Map<number, Reader>();
  const measured: Measured = { worst: undefined, afterHealing: undefined };
  for (let row = 0; row < readings.length; row++) {
    const operation = readings.at(row);
    const process = operations.process.at(operation);
    const reader = readers.get(process) ?? { process, polledMs: never, offsets: new Map<number, number>() };
    readers.set(process, reader);
    const kind = context.ledger.kindOf(operation);
    if (kind === 'assign' || kind === 'subscribe') assign(context, measured, { reader, operation });
    else poll(context, measured, { reader, operation });
  }
  for (const reader of readers.values()) measureAll(context, measured, reader);
  return measured;
}

interface Step {
  readonly reader: Reader;
  readonly operation: number;
}

function assign(context: CheckContext, measured: Measured, { reader, operation }: Step): void {
  const { operations, parts } = context.ledger;
  measureAll(context, measured, reader);
  reader.offsets.clear();
  reader.polledMs = never;
  const first = operations.firstPart.at(operation);
  for (let part = first; part < first + operations.partCount.at(operation); part++) {
    reader.offsets.set(parts.partition.at(part), -1);
  }
}

/** A lag is longest at the last poll before its position changes. */
function poll(context: CheckContext, measured: Measured, step: Step): void {
  const { reader, operation } = step;
  const { operations, parts, records } = context.ledger;
  const first = operations.firstPart.at(operation);
  const changed = Array.from({ length: operations.partCount.at(operation) }, (_, position) => first + position);
  for (const part of changed) measure(context, measured, reader, parts.partition.at(part));
  for (const part of changed) {
    const partition = parts.partition.at(part);
    const count = parts.recordCount.at(part);
    const last = count === 0 ? -1 : records.offset.at(parts.firstRecord.at(part) + count - 1);
    if (parts.isRebalanced.at(part) === 1) reader.offsets.delete(partition);
    else if (count > 0) reader.offsets.set(partition, Math.max(last, reader.offsets.get(partition) ?? -1));
  }
  reader.polledMs = operations.invokedMs.at(operation);
}

function measureAll(context: CheckContext, measured: Measured, reader: Reader): void {
  for (const partition of reader.offsets.keys()) measure(context, measured, reader, partition);
}

function measure({ ledger, orders }: CheckContext, measured: Measured, reader: Reader, partition: number): void {
  const offset = reader.offsets.get(partition);
  if (offset === undefined) return;
  const { process, polledMs } = reader;
  const newerMs = (orders[partition] as PartitionOrder).newerSinceMs(offset);
  const name = ledger.partitions[partition]?.name ?? '';
  const lag = (sinceMs: number): Lag => {
    return { lagMs: polledMs - sinceMs, partition: name, process, offset, atMs: polledMs };
  };
  measured.worst = worseOf(measured.worst, lag(newerMs));
  measured.afterHealing = worseOf(measured.afterHealing, lag(Math.max(newerMs, ledger.healedMs)));
}

function worseOf(worst: Lag | undefined, next: Lag): Lag | undefined {
  return next.lagMs > (worst?.lagMs ?? 0) ? next : worst;
}
