/**
 * A topic of 1,000 partitions with replication 3, on three real brokers: until the controllers answer, and until all brokers
 * have opened all of its 3,000 replicas.
 */
import { AdminService } from '@fleetmq/gen/controller/admin';
import { ControllerFleet, eventually } from './fleet.ts';
import { type PartOptions, say } from './part.ts';
import { readMetric } from './process-figures.ts';
import { formatCount, formatSpread, type PartResult } from './report.ts';

interface Creation {
  readonly answeredMs: number;
  readonly openedMs: number;
}

export async function measureTopics({ folder, runs, scale }: PartOptions): Promise<PartResult> {
  const partitionCount = Math.max(10, Math.round(1_000 * scale));
  await using bench = await ControllerFleet.start({ folder, brokers: 3 });
  const creations: Creation[] = [];
  for (let number = 0; number < runs; number++) {
    say(`  run ${number + 1} of ${runs}`);
    const name = `bench-topic-${number}`;
    const startMs = performance.now();
    await bench.calls.unary(AdminService.method.createTopic, { name, partitionCount, replicationFactor: 3 });
    const answeredMs = performance.now() - startMs;
    await openReplicas(bench, partitionCount);
    creations.push({ answeredMs, openedMs: performance.now() - startMs });
    await bench.calls.unary(AdminService.method.deleteTopic, { name });
    await openReplicas(bench, 0);
  }
  const row = (what: string, values: readonly number[]): string[] => [
    what,
    formatSpread(values, formatCount),
    formatCount(Math.max(...values)),
  ];
  return {
    figures: { partitionCount, creations },
    tables: [
      {
        title: `A topic of ${formatCount(partitionCount)} partitions, replication 3`,
        columns: ['until', 'ms (spread)', 'max ms'],
        rows: [
          row(
            'the controllers answer',
            creations.map(({ answeredMs }) => answeredMs),
          ),
          row(
            'three brokers have opened all of it',
            creations.map(({ openedMs }) => openedMs),
          ),
        ],
        note: 'Real brokers, replicas counted by their metrics; the topic is deleted after each run.',
      },
    ],
  };
}

async function openReplicas(bench: ControllerFleet, count: number): Promise<void> {
  for (const { id } of bench.fleet.processes.ports.brokers.map((_, index) => ({ id: index + 1 }))) {
    const broker = bench.fleet.processes.member('broker', id);
    await eventually(`broker ${id} to have ${count} replicas`, async () =>
      (await readMetric(broker, 'fleetmq_broker_partitions')) === count ? true : undefined,
    );
  }
}
