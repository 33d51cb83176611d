/**
 * Snapshots at 10,000 topics of 3 partitions: their size, what it takes to encode and to write them, how long they hold up the
 * event loop, a restart from one, and a new controller that learns all from one. Brokers are simulated: the controllers alone
 * are measured.
 */
import { AdminService } from '@fleetmq/gen/controller/admin';
import { median } from '../statistics.ts';
import { ControllerFleet } from './fleet.ts';
import { type JoinerResult, measureJoiner } from './joiner.ts';
import { type PartOptions, say } from './part.ts';
import { formatCount, formatNumber, formatSpread, type PartResult, type Table } from './report.ts';
import { measureRestart, type RestartResult } from './restarts.ts';
import { SimulatedBroker } from './simulated-broker.ts';

const brokerIds = [11, 12, 13] as const;
const creators = 32;

export async function measureSnapshots({ folder, runs, scale }: PartOptions): Promise<PartResult> {
  const topicCount = Math.max(100, Math.round(10_000 * scale));
  await using bench = await ControllerFleet.start({ folder });
  await using brokers = new AsyncDisposableStack();
  await bench.dismissBroker(1);
  for (const brokerId of brokerIds) brokers.use(await SimulatedBroker.start(bench, brokerId));
  const emptyRestarts = await repeat(runs, () => measureRestart(bench));

  say(`  creating ${topicCount} topics`);
  const startMs = performance.now();
  let next = 0;
  const create = async (): Promise<void> => {
    while (next < topicCount) {
      const name = `bench-topic-${next++}`;
      await bench.calls.unary(AdminService.method.createTopic, { name, partitionCount: 3, replicationFactor: 3 });
    }
  };
  await Promise.all(Array.from({ length: creators }, create));
  const topicsPerSecond = (topicCount * 1000) / (performance.now() - startMs);
  await bench.caughtUp();

  say('  a controller comes and goes');
  const joiners = await repeat(runs, () => measureJoiner(bench, folder));
  const restarts = await repeat(runs, () => measureRestart(bench));
  return {
    figures: { topicCount, topicsPerSecond, joiners, emptyRestarts, restarts },
    tables: [
      snapshotTable(`${formatCount(topicCount)} topics of 3 partitions`, joiners),
      restartTable(emptyRestarts, restarts),
    ],
  };
}

export async function repeat<Result>(count: number, measure: () => Promise<Result>): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (let turn = 0; turn < count; turn++) results.push(await measure());
  return results;
}

export function snapshotTable(what: string, results: readonly JoinerResult[]): Table {
  const row = (name: string, of: (result: JoinerResult) => number, format = formatNumber): string[] => {
    const values = results.map(of);
    return [name, formatSpread(values, format), format(Math.max(...values))];
  };
  const leader = (stalls: readonly number[]): number => stalls[0] ?? Number.NaN;
  const follower = (stalls: readonly number[]): number => Math.max(...stalls.slice(1));
  const removed = results.map(({ removeStallsMs }) => leader(removeStallsMs));
  return {
    title: `Snapshot of ${what}`,
    columns: ['', 'median (spread)', 'max'],
    rows: [
      row('bytes', ({ snapshotBytes }) => snapshotBytes, formatCount),
      row('to encode, ms', ({ encodeMs }) => encodeMs),
      row('to write and to cut the log, ms', ({ writeMs }) => writeMs),
      row('longest stall of the leader while it makes one, ms', ({ removeStallsMs }) => leader(removeStallsMs)),
      row('longest stall of a follower while it makes one, ms', ({ removeStallsMs }) => follower(removeStallsMs)),
      row('longest stall of the leader while it also sends it, ms', ({ addStallsMs }) => leader(addStallsMs)),
      row('until a new learner has caught up, ms', ({ caughtUpMs }) => caughtUpMs, formatCount),
    ],
    note: `Each change of the quorum makes all three controllers write one. In 2 s without any the leader's longest stall was ${formatNumber(median(results.map(({ quietStallsMs }) => leader(quietStallsMs))))} ms (median); stalls in ${removed.length} runs: ${removed.map(formatNumber).join(', ')} ms.`,
  };
}

export function restartTable(empty: readonly RestartResult[], full: readonly RestartResult[]): Table {
  const row = (name: string, results: readonly RestartResult[]): string[] => [
    name,
    formatSpread(
      results.map(({ readyMs }) => readyMs),
      formatCount,
    ),
    formatSpread(
      results.map(({ caughtUpMs }) => caughtUpMs),
      formatCount,
    ),
  ];
  return {
    title: 'A follower is started again',
    columns: ['', 'until it listens, ms', 'until it has applied everything, ms'],
    rows: [row('with empty metadata', empty), row('with these metadata', full)],
    note: 'From the start of the process; the first row is what Node and an empty controller take.',
  };
}
