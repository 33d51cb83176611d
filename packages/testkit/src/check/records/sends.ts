/** The order of sends: what a process sends later to a partition lies at a higher offset (int-: within one operation). */
import type { CheckContext } from './context.ts';
import { describeSend } from './describe.ts';
import type { Ledger } from './ledger.ts';
import type { PartitionOrder } from './partition-order.ts';

interface Sent {
  readonly value: number;
  readonly offset: number;
  readonly operation: number;
}

export function checkSends(context: CheckContext): void {
  const { ledger, rules } = context;
  const { sent, values, operations } = ledger;
  const lastOf = new Map<number, Map<number, Sent>>();
  for (let row = 0; row < sent.length; row++) {
    const value = sent.at(row);
    const offset = rules.isPlaced(value) ? values.ackedOffset.at(value) : values.readOffset.at(value);
    if (offset < 0) continue;
    const next = { value, offset, operation: values.sender.at(value) };
    const process = operations.process.at(next.operation);
    const lanes = lastOf.get(process) ?? new Map<number, Sent>();
    lastOf.set(process, lanes);
    const last = lanes.get(values.partition.at(value));
    lanes.set(values.partition.at(value), next);
    if (last !== undefined) compareSends(context, last, next);
  }
}

function compareSends({ ledger, findings, orders }: CheckContext, last: Sent, next: Sent): void {
  if (!isOrdered(ledger, last, next)) return;
  const { name, index } = ledger.partitionOf(next.value);
  const isInside = last.operation === next.operation;
  const operations = () => [describeSend(ledger, last.value), describeSend(ledger, next.value)];
  const [before, after] = [ledger.texts[last.value], ledger.texts[next.value]];
  if (next.offset <= last.offset) {
    findings.add(isInside ? 'int-nonmonotonic-send' : 'nonmonotonic-send', false, () => ({
      text: `${after}, sent to ${name} after ${before}, lies at ${next.offset} and not above ${last.offset}`,
      operations: operations(),
    }));
    return;
  }
  const between = (orders[index] as PartitionOrder).requiredBetween(last.offset, next.offset);
  // What others send meanwhile may always come between.
  if (isInside && between > 0) findings.add('int-send-skip', true, () => ({ text: '', operations: [] }));
}

/** Without a producer's id nothing orders what is under way at the same time. */
function isOrdered({ operations }: Ledger, last: Sent, next: Sent): boolean {
  const areIdempotent = [last, next].every(({ operation }) => operations.isIdempotent.at(operation) === 1);
  return areIdempotent || operations.returnedMs.at(last.operation) < operations.invokedMs.at(next.operation);
}
