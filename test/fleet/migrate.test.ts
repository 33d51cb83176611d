/**
 * MigratePartition under load: the partition moves from its leader to a broker that had nothing of it, no faster than it may,
 * the report can be left and taken up again at another broker, the controllers know how far it is, and no acknowledged record is
 * lost or stored twice.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient } from '@connectrpc/connect';
import { type MigratePartitionProgress, PartitionManagementService } from '@fleetmq/gen/broker/partition';
import { createLaneTransport } from '@fleetmq/shared/runtime';
import { startTestFleet, type TestFleet } from '@fleetmq/testkit';
import { audit, History, Load } from './load.ts';
import { waitFor } from './wait.ts';

const topic = 'migrate';
const topicPartition = { topic, partition: 0 };
const mebibyte = 1024 * 1024;

test('a partition moves to another broker, and whoever asks again sees it where it is', {
  timeout: 120_000,
}, async () => {
  await using fleet = await startTestFleet({ controllers: 1, brokers: 3 });
  const { admin } = fleet.client;
  await admin.createTopic(topic, { partitions: 1, replicationFactor: 2 });
  await using producer = fleet.client.producer();
  const history = new History();
  const fill = async (value: string): Promise<void> => {
    const sends = [{ partition: `${topic}/0`, values: [value] }];
    const call = history.recorder.invoke(history.nextProcess(), 'send', { sends });
    const { offset } = await producer.send(topic, value, { partition: 0 });
    call.ok({ offsets: [offset] });
  };
  await Promise.all(Array.from({ length: 96 }, (_, i) => fill(`${i}`.padEnd(100 * 1024, '.'))));

  const replicas = async () => (await admin.describeTopic(topic)).topic.partitions[0]?.replicas ?? [];
  const before = await replicas();
  const [sourceId = 0] = before;
  const targetId = [1, 2, 3].find((id) => !before.includes(id)) ?? 0;
  await using load = new Load(fleet.client, { history, topic, partitions: 1, name: 'load', rate: 200 });
  await waitFor('the first acknowledgments', () => load.isWritableSince(0), 20_000);

  const wish = { topicPartition, sourceId, targetId, bytesPerSecondMax: BigInt(3 * mebibyte) };
  const startedMs = performance.now();
  const seen: MigratePartitionProgress[] = [];
  for await (const report of migrate(fleet, targetId, wish)) {
    seen.push(report);
    if (report.copiedBytes > 0n) break;
  }
  assert.equal(seen.at(-1)?.phase, 'copy');
  const isKnown = async (): Promise<boolean> => {
    const { progress } = await admin.reassignments.list();
    return progress.some((each) => each.copiedBytes > 0n && each.bytesPerSecondMax === BigInt(3 * mebibyte));
  };
  await waitFor('the controllers to know how far it is', isKnown, 5_000);
  const elsewhere = before[1] ?? 0;
  for await (const report of migrate(fleet, elsewhere, wish)) seen.push(report);
  const phases = seen.map(({ phase }) => phase).filter((phase, i, all) => phase !== all[i - 1]);
  assert.match(phases.join(' '), /^copy( catch_up)?( swap)? done$/);
  // A tenth of a second's worth may go ahead of its time.
  const seconds = (performance.now() - startedMs) / 1000;
  assert.ok(seconds > 9 / 3 - 0.2, `${seconds} s`);
  const last = seen.at(-1);
  assert.ok(last !== undefined && last.copiedBytes === last.totalBytes && last.totalBytes > 9n * BigInt(mebibyte));
  assert.ok(seen.some(({ phase, remaining }) => phase === 'copy' && remaining !== undefined));
  const counts = seen.map(({ copiedBytes }) => copiedBytes);
  assert.ok(
    counts.every((count, i) => i === 0 || count >= (counts[i - 1] ?? 0n)),
    counts.join(' '),
  );
  assert.deepEqual([...(await replicas())].sort(), [targetId, elsewhere].sort());

  const again: string[] = [];
  for await (const { phase } of migrate(fleet, elsewhere, wish)) again.push(phase);
  assert.deepEqual(again, ['done']);
  await assert.rejects(async () => {
    for await (const _ of migrate(fleet, elsewhere, { topicPartition, sourceId: elsewhere, targetId })) break;
  }, /nothing can move/);

  const movedMs = performance.now();
  await waitFor('writes after the move', () => load.isWritableSince(movedMs), 10_000);
  await load.stop();
  assert.deepEqual(load.failures, [], 'no send failed');
  assert.deepEqual((await audit(fleet.client, topic, history)).findings, []);
});

interface Wish {
  readonly topicPartition: { readonly topic: string; readonly partition: number };
  readonly sourceId: number;
  readonly targetId: number;
  readonly bytesPerSecondMax?: bigint;
}

/** Asks this broker. */
async function* migrate(fleet: TestFleet, brokerId: number, wish: Wish): AsyncGenerator<MigratePartitionProgress> {
  const port = fleet.processes.ports.brokers[brokerId - 1]?.internal;
  await using transport = createLaneTransport({ baseUrl: `http://127.0.0.1:${port}` });
  yield* createClient(PartitionManagementService, transport).migratePartition(wish);
}
