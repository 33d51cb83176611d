/**
 * The order of polls: from one assignment to the next a process moves through a partition upwards and leaves nothing out (int-:
 * within one operation); and a transaction does not poll what it has itself sent.
 */
import type { CheckContext } from './context.ts';
import { describePoll, describeSend } from './describe.ts';
import type { PartitionOrder } from './partition-order.ts';

interface Position {
  readonly offset: number;
  readonly operation: number;
}

/** How many of the values that were passed over are named. */
const skippedMax = 3;

export function checkPolls(context: CheckContext): void {
  const { readings, operations, parts } = context.ledger;
  const positionsOf = new Map<number, Map<number, Position>>();
  for (let row = 0; row < readings.length; row++) {
    const operation = readings.at(row);
    const process = operations.process.at(operation);
    const kind = context.ledger.kindOf(operation);
    const positions = positionsOf.get(process) ?? new Map<number, Position>();
    positionsOf.set(process, positions);
    if (kind === 'assign' || kind === 'subscribe') {
      positions.clear();
      continue;
    }
    if (kind === 'txn') checkPrecommitted(context, operation);
    const first = operations.firstPart.at(operation);
    for (let part = first; part < first + operations.partCount.at(operation); part++) {
      const partition = parts.partition.at(part);
      // Nobody knows when in between it was taken away or given.
      if (parts.isRebalanced.at(part) === 1) positions.delete(partition);
      else {
        const position = followPart(context, positions.get(partition), { operation, part });
        if (position !== undefined) positions.set(partition, position);
      }
    }
  }
}

/** The position behind what was polled. */
function followPart(
  context: CheckContext,
  start: Position | undefined,
  { operation, part }: { readonly operation: number; readonly part: number },
): Position | undefined {
  const { parts, records } = context.ledger;
  const first = parts.firstRecord.at(part);
  let last = start;
  for (let record = first; record < first + parts.recordCount.at(part); record++) {
    const next = { offset: records.offset.at(record), operation };
    const isNextOffset = last === undefined || next.offset === last.offset + 1;
    if (last !== undefined && !isNextOffset) comparePositions(context, parts.partition.at(part), { last, next });
    last = next;
  }
  return last;
}

function comparePositions(
  { ledger, findings, orders }: CheckContext,
  partition: number,
  { last, next }: { readonly last: Position; readonly next: Position },
): void {
  const order = orders[partition] as PartitionOrder;
  const name = ledger.partitions[partition]?.name;
  const isInside = last.operation === next.operation;
  const operations = (): readonly string[] => {
    const polls = [last, next].map(({ operation, offset }) => describePoll(ledger, { operation, partition, offset }));
    return isInside ? polls.slice(0, 1) : polls;
  };
  if (next.offset <= last.offset) {
    findings.add(isInside ? 'int-nonmonotonic-poll' : 'nonmonotonic-poll', false, () => ({
      text: `${next.offset} of ${name} was polled after ${last.offset}`,
      operations: operations(),
    }));
    return;
  }
  const count = order.requiredBetween(last.offset, next.offset);
  if (count === 0) return;
  findings.add(isInside ? 'int-poll-skip' : 'poll-skip', false, () => {
    const skipped = order.valuesBetween(last.offset, next.offset, skippedMax).map((value) => ledger.texts[value]);
    const more = count > skipped.length ? `, ... (${count})` : '';
    return {
      text: `from ${last.offset} to ${next.offset} of ${name} a process passed over ${skipped.join(', ')}${more}`,
      operations: operations(),
    };
  });
}

function checkPrecommitted({ ledger, findings }: CheckContext, operation: number): void {
  const { operations, parts, records, values } = ledger;
  const first = operations.firstPart.at(operation);
  const isExempt = operations.isUncommitted.at(operation) === 1;
  for (let part = first; part < first + operations.partCount.at(operation); part++) {
    const firstRecord = parts.firstRecord.at(part);
    for (let record = firstRecord; record < firstRecord + parts.recordCount.at(part); record++) {
      const value = records.value.at(record);
      if (values.sender.at(value) !== operation) continue;
      findings.add('precommitted-read', isExempt, () => ({
        text: `a transaction polled ${ledger.texts[value]}, which it had itself sent`,
        operations: [describeSend(ledger, value)],
      }));
    }
  }
}
