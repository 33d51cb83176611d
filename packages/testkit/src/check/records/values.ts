/** What became of each value: lost, unseen, stored twice, read although it failed or was never sent; and offsets with two values. */
import { none } from './columns.ts';
import type { CheckContext } from './context.ts';
import { describePoll, describeSend } from './describe.ts';
import type { FindingName } from './findings.ts';
import type { Ledger, Partition } from './ledger.ts';
import type { PartitionOrder } from './partition-order.ts';
import { offsetsOf } from './places.ts';

interface PartitionCheck extends CheckContext {
  readonly partition: Partition;
  readonly order: PartitionOrder;
}

export function checkValues(context: CheckContext): void {
  for (const partition of context.ledger.partitions) {
    checkPartition({ ...context, partition, order: context.orders[partition.index] as PartitionOrder });
  }
}

function checkPartition(check: PartitionCheck): void {
  const { ledger, partition } = check;
  const { sender, readOffset } = ledger.values;
  for (const value of partition.values.values()) {
    const isRead = readOffset.at(value) >= 0;
    if (!isRead) checkUnread(check, value);
    else if (sender.at(value) === none) addRead(check, value, 'unwritten-read');
    else if (ledger.certaintyOf(sender.at(value)) === 'fail') {
      // What was told as not written nobody may see, unless a transaction was aborted, and the reader asked for what is not committed.
      addRead(check, value, 'G1a', !check.rules.isCommitted(value));
    }
    const offsets = offsetsOf(ledger, check.rules, value);
    if (offsets.length > 1) addDuplicate(check, value, offsets);
  }
  for (const [offset, values] of check.order.conflicts) addConflict(check, offset, values);
}

/** Above everything that was polled it may still come; below it is gone. */
function checkUnread(check: PartitionCheck, value: number): void {
  const { ledger, rules, findings, partition, order } = check;
  if (!rules.isAcknowledged(value)) return;
  const offset = ledger.values.ackedOffset.at(value);
  const { highestRead } = order;
  const isBelow = offset >= 0 && offset < highestRead.offset;
  const isExempt = !rules.isKept(value) || (offset >= 0 && !order.isRequired(offset));
  findings.add(isBelow ? 'lost-write' : 'unseen', isExempt, () => {
    const name = `${ledger.texts[value]} of ${partition.name}`;
    if (!isBelow) return { text: `${name} was never polled`, operations: [describeSend(ledger, value)] };
    const focus = { operation: highestRead.reader, partition: partition.index, offset: highestRead.offset };
    return {
      text: `${name}, acknowledged at ${offset}, was never polled, although ${highestRead.offset} was`,
      operations: [describeSend(ledger, value), describePoll(ledger, focus)],
    };
  });
}

function addRead(check: PartitionCheck, value: number, name: FindingName, isExempt = false): void {
  const { ledger, findings, partition } = check;
  findings.add(name, isExempt, () => {
    const { sender, reader, readOffset } = ledger.values;
    const offset = readOffset.at(value);
    const what = name === 'G1a' ? 'failed, and was polled' : 'was polled, and never sent there';
    const elsewhere = sender.at(value) === none ? sendsElsewhere(ledger, value) : [describeSend(ledger, value)];
    return {
      text: `${ledger.texts[value]} of ${partition.name} ${what}`,
      operations: [
        ...elsewhere,
        describePoll(ledger, { operation: reader.at(value), partition: partition.index, offset }),
      ],
    };
  });
}

/** Where the value was sent to instead. */
function sendsElsewhere(ledger: Ledger, value: number): readonly string[] {
  return ledger.partitions.flatMap(({ values }) => {
    const other = values.get(ledger.texts[value] as string);
    return other === undefined || ledger.values.sender.at(other) === none ? [] : [describeSend(ledger, other)];
  });
}

function addDuplicate(
  { ledger, findings, partition }: PartitionCheck,
  value: number,
  offsets: readonly number[],
): void {
  findings.add('duplicate', false, () => ({
    text: `${ledger.texts[value]} of ${partition.name} lies at ${offsets.join(' and ')}`,
    operations: evidenceOf(ledger, value),
  }));
}

function addConflict(check: PartitionCheck, offset: number, values: ReadonlySet<number>): void {
  const { ledger, findings, partition } = check;
  findings.add('inconsistent-offsets', false, () => {
    const all = [...values];
    return {
      text: `${offset} of ${partition.name} holds ${all.map((value) => ledger.texts[value]).join(' and ')}`,
      operations: all.flatMap((value) => evidenceOf(ledger, value)),
    };
  });
}

/** Who sent it, and who polled it where. */
function evidenceOf(ledger: Ledger, value: number): readonly string[] {
  const { sender, readOffset, reader, partition } = ledger.values;
  const first = { offset: readOffset.at(value), reader: reader.at(value) };
  const reads = first.offset < 0 ? [] : [first, ...(ledger.otherPlaces.get(value) ?? [])];
  const polls = reads.map(({ offset, reader: operation }) => {
    return describePoll(ledger, { operation, partition: partition.at(value), offset });
  });
  return sender.at(value) === none ? polls : [describeSend(ledger, value), ...polls];
}
