/**
 * Metadata operations per second, in a closed loop of 1 to 256 callers, three voters, fsync on all of them: writes and
 * linearizable reads, straight to the controllers and through the gateway; and, to see what is the quorum's and what the
 * call's, the smallest write and the smallest read that there are. The disk's own loop runs beside them in each run.
 */
import { AdminService } from '@fleetmq/gen/controller/admin';
import { ControllerBrokerService } from '@fleetmq/gen/controller/cluster';
import { ControllerRaftService } from '@fleetmq/gen/controller/raft';
import type { ControllerCalls } from '@fleetmq/metadata/link';
import { createRpcPool } from '@fleetmq/shared/runtime';
import { median } from '../statistics.ts';
import { type BareSyncResult, measureBareSync } from './bare-sync.ts';
import { type ClosedLoopResult, closedLoop } from './closed-loop.ts';
import { ControllerFleet } from './fleet.ts';
import { type PartOptions, say } from './part.ts';
import { cpuSeconds, machineSeconds } from './process-figures.ts';
import { formatCount, formatNumber, formatSpread, type PartResult, type Table } from './report.ts';

const topic = 'bench-operations';
const callerCounts = [1, 8, 64, 256] as const;
/** A listener for clients takes 128 streams per connection, so that 256 callers need several. */
const gatewayConnections = 4;

interface Workload {
  readonly name: string;
  readonly isWrite: boolean;
  readonly call: (caller: number, turn: number) => Promise<unknown>;
}

interface Sample extends ClosedLoopResult {
  readonly workload: string;
  readonly callers: number;
  /** Processor time per call in milliseconds: the leader, both followers together, the gateway. */
  readonly cpu: { readonly leader: number; readonly followers: number; readonly gateway: number };
  /** Processors that programs other than this benchmark kept busy meanwhile. */
  readonly others: number;
}

interface Run {
  readonly bare: BareSyncResult;
  readonly samples: readonly Sample[];
}

export async function measureOperations({ folder, runs, scale }: PartOptions): Promise<PartResult> {
  await using bench = await ControllerFleet.start({ folder });
  await using stack = new AsyncDisposableStack();
  const workloads = await createWorkloads(bench, stack);
  const seconds = Math.max(1, 4 * scale);
  const results: Run[] = [];
  for (let number = 0; number < runs; number++) {
    say(`  run ${number + 1} of ${runs}`);
    const bare = measureBareSync(folder, seconds / 2);
    const samples: Sample[] = [];
    for (const workload of workloads) {
      for (const callers of callerCounts) samples.push(await measureOne(bench, workload, { callers, seconds }));
    }
    results.push({ bare, samples });
  }
  return { figures: results, tables: workloads.map((workload) => tableOf(workload, results)) };
}

async function createWorkloads(bench: ControllerFleet, stack: AsyncDisposableStack): Promise<readonly Workload[]> {
  const { admin } = bench.fleet.client;
  await admin.createTopic(topic, { partitions: 1, replicationFactor: 1 });
  const [broker] = await admin.brokers();
  const life = { brokerId: Number(broker?.broker?.id), brokerEpoch: broker?.brokerEpoch ?? 0n, count: 1 };
  const port = bench.fleet.processes.ports.gateway.client;
  const gateways = Array.from({ length: gatewayConnections }, () => bench.callsTo([port], stack.use(createRpcPool())));
  const gateway = (caller: number): ControllerCalls => gateways[caller % gateways.length] as ControllerCalls;
  const change = (caller: number, turn: number) => ({
    name: topic,
    set: { 'retention.ms': String(1_000_000 + 1_000 * turn + caller) },
  });
  const { calls } = bench;
  const { alterTopicConfig, describeTopic } = AdminService.method;
  return [
    {
      name: 'AlterTopicConfig, straight to the controllers',
      isWrite: true,
      call: (caller, turn) => calls.unary(alterTopicConfig, change(caller, turn)),
    },
    {
      name: 'AlterTopicConfig, through the gateway',
      isWrite: true,
      call: (caller, turn) => gateway(caller).unary(alterTopicConfig, change(caller, turn)),
    },
    {
      name: 'AllocateProducerIds, straight to the controllers: the smallest write',
      isWrite: true,
      call: () => calls.unary(ControllerBrokerService.method.allocateProducerIds, life),
    },
    {
      name: 'DescribeTopic, straight to the controllers',
      isWrite: false,
      call: () => calls.unary(describeTopic, { name: topic }),
    },
    {
      name: 'DescribeTopic, through the gateway',
      isWrite: false,
      call: (caller) => gateway(caller).unary(describeTopic, { name: topic }),
    },
    {
      name: 'ReadIndex, straight to the controllers: the smallest read',
      isWrite: false,
      call: () => calls.unary(ControllerRaftService.method.readIndex, {}),
    },
  ];
}

async function measureOne(
  bench: ControllerFleet,
  workload: Workload,
  { callers, seconds }: { readonly callers: number; readonly seconds: number },
): Promise<Sample> {
  const leader = await bench.leader();
  const followers = bench.controllers.filter(({ id }) => id !== leader.id);
  const gateway = bench.fleet.processes.member('gateway');
  const spent = (): readonly number[] => [
    cpuSeconds(leader),
    followers.reduce((sum, each) => sum + cpuSeconds(each), 0),
    cpuSeconds(gateway),
  ];
  const ours = (): number =>
    bench.fleet.processes.members.reduce((sum, each) => sum + cpuSeconds(each), 0) + ownSeconds();
  const before = spent();
  const [machineBefore, oursBefore, startMs] = [machineSeconds(), ours(), performance.now()];
  let turn = 0;
  const result = await closedLoop({ callers, seconds, warmUpSeconds: 0.5 }, (caller) => workload.call(caller, turn++));
  const [leaderCpu = 0, followersCpu = 0, gatewayCpu = 0] = spent().map(
    (after, position) => ((after - (before[position] ?? 0)) * 1000) / turn,
  );
  const cpu = { leader: leaderCpu, followers: followersCpu, gateway: gatewayCpu };
  const othersSeconds = machineSeconds() - machineBefore - (ours() - oursBefore);
  const others = Math.max(0, (othersSeconds * 1000) / (performance.now() - startMs));
  return { workload: workload.name, callers, cpu, others, ...result };
}

function ownSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function tableOf(workload: Workload, runs: readonly Run[]): Table {
  const barePerSecond = runs.map(({ bare }) => bare.perSecond);
  const rows = callerCounts.map((callers) => {
    const samples = runs.flatMap((run) =>
      run.samples.filter((sample) => sample.workload === workload.name && sample.callers === callers),
    );
    const rates = samples.map(({ perSecond }) => perSecond);
    const cost = (of: (cpu: Sample['cpu']) => number): string => median(samples.map(({ cpu }) => of(cpu))).toFixed(2);
    return [
      String(callers),
      formatSpread(rates, formatCount),
      ...(workload.isWrite ? [(median(rates) / median(barePerSecond)).toFixed(2)] : []),
      formatNumber(median(samples.map(({ p50 }) => p50))),
      formatNumber(median(samples.map(({ p99 }) => p99))),
      cost(({ leader }) => leader),
      cost(({ followers }) => followers),
      cost(({ gateway }) => gateway),
      formatNumber(median(samples.map(({ others }) => others))),
      formatCount(samples.reduce((sum, { errors }) => sum + errors, 0)),
    ];
  });
  const bare = `${formatSpread(barePerSecond, formatCount)} fdatasync/s, p50 ${formatNumber(median(runs.map((run) => run.bare.p50)))} ms, p99 ${formatNumber(median(runs.map((run) => run.bare.p99)))} ms`;
  return {
    title: workload.name,
    columns: [
      ...['callers', 'per second (spread)'],
      ...(workload.isWrite ? ['of the bare loop'] : []),
      ...['p50 ms', 'p99 ms', 'leader ms', 'followers ms', 'gateway ms', 'others', 'failed'],
    ],
    rows,
    note: `Bare loop (append 1 KiB, fdatasync, again) in the same runs: ${bare}. Milliseconds of leader, followers and gateway are processor time per call, warm-up included; \`others\` is how many processors other programs kept busy.`,
  };
}
