/**
 * Cycles among transactions: each polled what the one before it has sent (wr edges, G1c). Edges by the order of writes are not
 * looked at: writes of transactions interleave, so that cycles with them (G0 and others) say nothing. Tarjan's strongly connected
 * components, without recursion.
 */
import type { CheckContext } from './context.ts';
import { describePoll, describeSend } from './describe.ts';
import type { Ledger } from './ledger.ts';

/** One transaction polled a value of another one. */
interface Edge {
  readonly writer: number;
  readonly value: number;
}

/** By reader. */
type Edges = ReadonlyMap<number, readonly Edge[]>;

export function checkCycles({ ledger, findings }: CheckContext): void {
  const edges = edgesOf(ledger);
  for (const component of componentsOf(edges)) {
    if (component.length < 2) continue;
    const cycle = cycleIn(edges, new Set(component));
    findings.add('G1c', false, () => ({
      text: `${cycle.length} transactions have polled in a circle what each has sent`,
      operations: cycle.flatMap(({ reader, value }) => [
        describeSend(ledger, value),
        describeRead(ledger, reader, value),
      ]),
    }));
  }
}

/** Those who see what is not committed may well see it in a circle. */
function edgesOf(ledger: Ledger): Edges {
  const { readings, operations, parts, records, values } = ledger;
  const edges = new Map<number, Edge[]>();
  for (let row = 0; row < readings.length; row++) {
    const reader = readings.at(row);
    if (ledger.kindOf(reader) !== 'txn' || operations.isUncommitted.at(reader) === 1) continue;
    const byWriter = new Map<number, Edge>();
    const first = operations.firstPart.at(reader);
    for (let part = first; part < first + operations.partCount.at(reader); part++) {
      const firstRecord = parts.firstRecord.at(part);
      for (let record = firstRecord; record < firstRecord + parts.recordCount.at(part); record++) {
        const value = records.value.at(record);
        const writer = values.sender.at(value);
        if (writer !== reader) byWriter.set(writer, { writer, value });
      }
    }
    edges.set(reader, [...byWriter.values()]);
  }
  return edges;
}

interface Visit {
  readonly node: number;
  next: number;
}

function componentsOf(edges: Edges): readonly (readonly number[])[] {
  const components: number[][] = [];
  const order = new Map<number, number>();
  const low = new Map<number, number>();
  const stack: number[] = [];
  const onStack = new Set<number>();
  const enter = (node: number): Visit => {
    order.set(node, order.size);
    low.set(node, order.get(node) as number);
    stack.push(node);
    onStack.add(node);
    return { node, next: 0 };
  };
  const lower = (node: number, to: number | undefined): void => {
    low.set(node, Math.min(low.get(node) as number, to as number));
  };
  for (const root of edges.keys()) {
    const path: Visit[] = order.has(root) ? [] : [enter(root)];
    for (let visit = path.at(-1); visit !== undefined; visit = path.at(-1)) {
      const edge = edges.get(visit.node)?.[visit.next++];
      if (edge !== undefined) {
        if (onStack.has(edge.writer)) lower(visit.node, order.get(edge.writer));
        else if (edges.has(edge.writer) && !order.has(edge.writer)) path.push(enter(edge.writer));
        continue;
      }
      path.pop();
      const parent = path.at(-1);
      if (parent !== undefined) lower(parent.node, low.get(visit.node));
      if (low.get(visit.node) !== order.get(visit.node)) continue;
      const component = stack.splice(stack.lastIndexOf(visit.node));
      for (const node of component) onStack.delete(node);
      components.push(component);
    }
  }
  return components;
}

/** One cycle of a component: from each node to some writer inside, until one comes again. */
function cycleIn(edges: Edges, component: ReadonlySet<number>): readonly { reader: number; value: number }[] {
  const path: { reader: number; value: number }[] = [];
  const places = new Map<number, number>();
  let [reader] = component as Iterable<number> as [number];
  while (!places.has(reader)) {
    places.set(reader, path.length);
    const edge = edges.get(reader)?.find(({ writer }) => component.has(writer)) as Edge;
    path.push({ reader, value: edge.value });
    reader = edge.writer;
  }
  return path.slice(places.get(reader));
}

function describeRead(ledger: Ledger, operation: number, value: number): string {
  const { partition, readOffset } = ledger.values;
  return describePoll(ledger, { operation, partition: partition.at(value), offset: readOffset.at(value) });
}
