/** Operations in words, each on a line: enough of them to see what a finding is about. */
import type { Ledger } from './ledger.ts';

/** How many records around the one that matters are shown. */
const around = 2;

/** The operation that sent a value, and what became of it. */
export function describeSend(ledger: Ledger, value: number): string {
  const operation = ledger.values.sender.at(value);
  const certainty = ledger.certaintyOf(operation);
  const offset = ledger.values.ackedOffset.at(value);
  const error = ledger.errorOf(operation);
  const place = offset < 0 ? '' : ` at ${offset}`;
  const outcome = {
    ok: `acknowledged${place}`,
    fail: `failed, ${error}`,
    info: `unknown, ${error}`,
    open: 'no answer',
  };
  return `${head(ledger, operation)} ${ledger.partitionOf(value).name} ${ledger.texts[value]}: ${outcome[certainty]}`;
}

export interface PollFocus {
  readonly operation: number;
  /** Index of a partition. */
  readonly partition: number;
  /** What is shown is near to this one. */
  readonly offset: number;
}

/** What an operation polled of one partition: `38=a 39=b ...`. */
export function describePoll(ledger: Ledger, { operation, partition, offset }: PollFocus): string {
  const rows = recordsOf(ledger, operation, partition);
  const found = rows.findIndex((row) => ledger.records.offset.at(row) === offset);
  const focus = Math.max(found, 0);
  const shown = rows.slice(Math.max(0, focus - around), focus + around + 1).map((row) => {
    return `${ledger.records.offset.at(row)}=${ledger.texts[ledger.records.value.at(row)]}`;
  });
  const before = focus > around ? '... ' : '';
  const after = focus + around + 1 < rows.length ? ' ...' : '';
  return `${head(ledger, operation)} ${ledger.partitions[partition]?.name}: ${before}${shown.join(' ')}${after}`;
}

/** Rows of records that an operation polled of one partition. */
function recordsOf({ operations, parts }: Ledger, operation: number, partition: number): readonly number[] {
  const rows: number[] = [];
  const first = operations.firstPart.at(operation);
  for (let part = first; part < first + operations.partCount.at(operation); part++) {
    if (parts.partition.at(part) !== partition) continue;
    for (let record = 0; record < parts.recordCount.at(part); record++) rows.push(parts.firstRecord.at(part) + record);
  }
  return rows;
}

function head(ledger: Ledger, operation: number): string {
  const { process, invokedMs, returnedMs } = ledger.operations;
  const returned = returnedMs.at(operation);
  const end = returned === Number.POSITIVE_INFINITY ? '?' : returned.toFixed(1);
  const times = `[${invokedMs.at(operation).toFixed(1)}, ${end}]`;
  return `${times} process ${process.at(operation)} ${ledger.kindOf(operation)}`;
}
