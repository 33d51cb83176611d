/**
 * Controllers with 100,000 partitions (100 topics of 1,000, replication 3): memory, processor time while nothing happens but
 * heartbeats of three brokers, snapshots, a broker that comes back after a crash and changes all of them, and what watchers
 * cost. Brokers are simulated, since three real ones do not hold 300,000 replicas here: the controllers alone are measured.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { AdminService } from '@fleetmq/gen/controller/admin';
import type { ServiceProcess } from '@fleetmq/shared/runtime/fleet';
import { ControllerFleet, eventually } from './fleet.ts';
import { measureJoiner } from './joiner.ts';
import { type PartOptions, say } from './part.ts';
import { cpuSeconds, longestStallMs, type Memory, memoryOf } from './process-figures.ts';
import { formatCount, formatNumber, type PartResult } from './report.ts';
import { measureRestart } from './restarts.ts';
import { MetadataListener, SimulatedBroker } from './simulated-broker.ts';
import { repeat, restartTable, snapshotTable } from './snapshots.ts';

const brokerIds = [11, 12, 13] as const;
const partitionsPerTopic = 1_000;
const watcherCount = 20;

interface Idle {
  readonly leaderCpu: number;
  readonly followerCpu: number;
  readonly leader: Memory;
  readonly follower: Memory;
}

/** Of the work that one event makes on the controllers. */
interface Burst {
  readonly tookMs: number;
  readonly leaderStallMs: number;
  readonly followerStallMs: number;
  readonly leaderCpuSeconds: number;
}

export async function measurePartitions({ folder, runs, scale }: PartOptions): Promise<PartResult> {
  const topicCount = Math.max(2, Math.round(100 * scale));
  await using bench = await ControllerFleet.start({ folder });
  await using stack = new AsyncDisposableStack();
  await bench.dismissBroker(1);
  const brokers: SimulatedBroker[] = [];
  for (const brokerId of brokerIds) brokers.push(stack.use(await SimulatedBroker.start(bench, brokerId)));
  const empty = await measureIdle(bench, scale);
  const emptyRestarts = await repeat(runs, () => measureRestart(bench));

  say(`  creating ${topicCount} topics of ${partitionsPerTopic} partitions`);
  const creationsMs = await createTopics(bench, topicCount);
  await bench.caughtUp();
  const full = await measureIdle(bench, scale);
  say('  a controller comes and goes');
  const joiners = await repeat(runs, () => measureJoiner(bench, folder));
  const restarts = await repeat(runs, () => measureRestart(bench));
  say('  watchers');
  const alone = await measureCreation(bench, 'alone', []);
  const { listeners, snapshots } = await startListeners(bench, stack);
  const watched = await measureCreation(bench, 'watched', listeners);
  say('  brokers come back');
  const returns: Burst[] = [];
  for (const broker of brokers.slice(0, 2)) returns.push(await measureBurst(bench, () => broker.beginLife()));

  const total = formatCount(topicCount * partitionsPerTopic);
  return {
    figures: {
      topicCount,
      empty,
      full,
      creationsMs,
      joiners,
      emptyRestarts,
      restarts,
      alone,
      snapshots,
      watched,
      returns,
    },
    tables: [
      idleTable(total, empty, full),
      {
        title: 'CreateTopic as the cluster grows',
        columns: ['topics before it', 'ms'],
        rows: growthRows(creationsMs),
        note: `Medians of ten creations in a row, ${formatCount(partitionsPerTopic)} partitions each, replication 3.`,
      },
      snapshotTable(`${total} partitions`, joiners),
      restartTable(emptyRestarts, restarts),
      {
        title: `Bursts at ${total} partitions`,
        columns: ['', 'ms', 'leader stalls, ms', 'a follower stalls, ms', 'processor time of the leader, s'],
        rows: [
          burstRow('a topic of 1,000 partitions, 3 watchers', alone),
          burstRow(`${watcherCount} more watchers at the leader get a snapshot`, snapshots),
          burstRow(`a topic of 1,000 partitions, ${watcherCount + 3} watchers`, watched),
          ...returns.map((burst, turn) => burstRow(`broker ${brokerIds[turn]} comes back after a crash`, burst)),
        ],
        note: 'Until all watchers have it; a broker that comes back leaves the ISR of all its partitions, which is one change each.',
      },
    ],
  };
}

async function createTopics(bench: ControllerFleet, topicCount: number): Promise<readonly number[]> {
  const times: number[] = [];
  for (let number = 0; number < topicCount; number++) {
    const startMs = performance.now();
    await createTopic(bench, `bench-topic-${number}`);
    times.push(performance.now() - startMs);
  }
  return times;
}

function createTopic(bench: ControllerFleet, name: string): Promise<{ readonly metadataVersion: bigint }> {
  const request = { name, partitionCount: partitionsPerTopic, replicationFactor: 3 };
  return bench.calls.unary(AdminService.method.createTopic, request);
}

/** Nothing happens but heartbeats: those of brokers come to the leader alone. */
async function measureIdle(bench: ControllerFleet, scale: number): Promise<Idle> {
  const [leader, follower] = await leaderAndFollower(bench);
  await sleep(3_000);
  const seconds = Math.max(3, 20 * scale);
  const before = [cpuSeconds(leader), cpuSeconds(follower)] as const;
  await sleep(seconds * 1000);
  const leaderCpu = (cpuSeconds(leader) - before[0]) / seconds;
  const followerCpu = (cpuSeconds(follower) - before[1]) / seconds;
  const [leaderMemory, followerMemory] = await Promise.all([memoryOf(leader, 10), memoryOf(follower, 10)]);
  return { leaderCpu, followerCpu, leader: leaderMemory, follower: followerMemory };
}

async function leaderAndFollower(bench: ControllerFleet): Promise<readonly [ServiceProcess, ServiceProcess]> {
  const leader = await bench.leader();
  const follower = bench.controllers.find(({ id }) => id !== leader.id);
  if (follower === undefined) throw new Error('there is no follower');
  return [leader, follower];
}

async function measureBurst(bench: ControllerFleet, burst: () => Promise<unknown>): Promise<Burst> {
  const [leader, follower] = await leaderAndFollower(bench);
  await sleep(1_000);
  await Promise.all([longestStallMs(leader), longestStallMs(follower)]);
  const before = cpuSeconds(leader);
  const startMs = performance.now();
  await burst();
  const tookMs = performance.now() - startMs;
  await bench.caughtUp();
  await sleep(1_000);
  const leaderCpuSeconds = cpuSeconds(leader) - before;
  const [leaderStallMs, followerStallMs] = await Promise.all([longestStallMs(leader), longestStallMs(follower)]);
  return { tookMs, leaderStallMs, followerStallMs, leaderCpuSeconds };
}

function measureCreation(bench: ControllerFleet, name: string, listeners: readonly MetadataListener[]): Promise<Burst> {
  return measureBurst(bench, async () => {
    const { metadataVersion } = await createTopic(bench, `bench-${name}`);
    await reach(listeners, Number(metadataVersion));
  });
}

async function startListeners(
  bench: ControllerFleet,
  stack: AsyncDisposableStack,
): Promise<{ readonly listeners: readonly MetadataListener[]; readonly snapshots: Burst }> {
  const leader = await bench.leader();
  const transport = bench.pool.get(`http://127.0.0.1:${leader.listeners['internal']?.port}`);
  const listeners: MetadataListener[] = [];
  const snapshots = await measureBurst(bench, async () => {
    for (let number = 0; number < watcherCount; number++) {
      listeners.push(stack.use(new MetadataListener(transport, `bench-${number}`)));
    }
    await reach(listeners, 1);
  });
  return { listeners, snapshots };
}

async function reach(listeners: readonly MetadataListener[], version: number): Promise<void> {
  await eventually(
    `all watchers to have version ${version}`,
    async () => (listeners.every((each) => each.version >= version) ? true : undefined),
    2,
  );
}

function idleTable(total: string, empty: Idle, full: Idle) {
  const percent = (share: number): string => `${formatNumber(share * 100)} %`;
  const row = (name: string, { leaderCpu, followerCpu, leader, follower }: Idle): string[] => [
    ...[name, formatCount(leader.rssMb), formatCount(leader.heapUsedMb), percent(leaderCpu)],
    ...[formatCount(follower.rssMb), formatCount(follower.heapUsedMb), percent(followerCpu)],
  ];
  return {
    title: 'Memory and processor time while nothing happens',
    columns: ['', 'leader: RSS MB', 'heap used MB', 'of a core', 'follower: RSS MB', 'heap used MB', 'of a core'],
    rows: [row('no topic', empty), row(`${total} partitions`, full)],
    note: 'Three simulated brokers send a heartbeat every 500 ms, all of them to the leader: a follower has none. Memory is the least of 40 readings in 10 s.',
  };
}

function growthRows(timesMs: readonly number[]): string[][] {
  const rows: string[][] = [];
  for (let first = 0; first < timesMs.length; first += 30) {
    const ten = timesMs.slice(first, first + 10).sort((one, other) => one - other);
    rows.push([String(first), formatNumber(ten[Math.floor(ten.length / 2)] ?? Number.NaN)]);
  }
  return rows;
}

function burstRow(name: string, burst: Burst): string[] {
  const { tookMs, leaderStallMs, followerStallMs, leaderCpuSeconds } = burst;
  return [name, ...[tookMs, leaderStallMs, followerStallMs].map(formatCount), leaderCpuSeconds.toFixed(2)];
}
