import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { emptyCluster, type MetadataEvent, MetadataImage } from '@fleetmq/metadata';
import { DomainError, type MetadataVersion, type TopicId } from '@fleetmq/shared';
import { someBroker, somePartition } from '../src/histories.fuzz.ts';
import { FakeController } from './fake-controller.fuzz.ts';
import { MetadataWatch, type MetadataWatchOptions } from './index.ts';
import { eventually, ports, soon } from './ports.fuzz.ts';

const cluster = (clusterId: string): MetadataEvent => ({
  kind: 'cluster-changed',
  cluster: { ...emptyCluster, clusterId },
});
const broker = (brokerId: number, value = 1): MetadataEvent => ({
  kind: 'broker-changed',
  broker: someBroker(brokerId, value),
});
const topicId = 'a'.repeat(32) as TopicId;
const topic: readonly MetadataEvent[] = [
  { kind: 'topic-changed', topic: { topicId, name: 'orders', config: new Map(), internal: false, partitionCount: 2 } },
  { kind: 'partition-changed', partition: somePartition(topicId, 0, 1) },
  { kind: 'partition-changed', partition: somePartition(topicId, 1, 1) },
];

function watching(controllers: readonly FakeController[], options: Partial<MetadataWatchOptions> = {}): MetadataWatch {
  const watch = new MetadataWatch({
    controllers: controllers.map((_, index) => ({ controllerId: index + 1, host: 'controller', port: index + 1 })),
    transportOf: ({ port }) => (controllers[port - 1] as FakeController).transport,
    watcher: 'test',
    backoff: { baseMs: 2, maxMs: 10 },
    ...ports,
    ...options,
  });
  watch.start();
  return watch;
}

describe('metadata watch', () => {
  test('begins with a snapshot and follows every change', async () => {
    const controller = new FakeController();
    controller.append(3, cluster('c'), broker(1));
    await using watch = watching([controller]);
    assert.equal(watch.ageMs(), Number.POSITIVE_INFINITY);
    await watch.waitForVersion(3, soon());
    controller.append(4, ...topic);
    controller.append(7);
    await watch.waitForVersion(7, soon());
    assert.deepEqual(watch.image.snapshot(), controller.image.snapshot());
    assert.equal(watch.leaderId, 1);
    assert.ok(watch.ageMs() < 5_000);
  });

  test('goes on at controllers that it was told of, and keeps those that are configured behind them', async () => {
    const [first, second, third] = [new FakeController(), new FakeController(), new FakeController()];
    const address = (port: number) => ({ controllerId: port, host: 'controller', port });
    first.controllers = [address(2), address(3)];
    for (const each of [first, second, third]) each.append(3, cluster('c'), broker(1));
    await using watch = watching([first, second, third], { controllers: [address(1)] });
    assert.deepEqual(watch.controllers, [address(1)]);
    await watch.waitForVersion(3, soon());
    assert.deepEqual(watch.controllers, [address(2), address(3), address(1)]);
    first.goDown();
    second.goDown();
    third.append(4, ...topic);
    await watch.waitForVersion(4, soon());
    // Who does not know says nothing, and nothing is forgotten.
    assert.deepEqual(watch.controllers, [address(2), address(3), address(1)]);
  });

  test('finds the one that goes on among those that were left behind, whomever they name', async () => {
    const [first, second, third] = [new FakeController(), new FakeController(), new FakeController()];
    const address = (port: number) => ({ controllerId: port, host: 'controller', port });
    for (const each of [first, second, third]) each.append(3, cluster('c'), broker(1));
    // They tell all they know to everybody who asks, and nothing more.
    for (const each of [first, second]) each.oldest = 100;
    first.controllers = [address(3)];
    second.controllers = [address(1), address(3)];
    third.append(4, ...topic);
    await using watch = watching([first, second, third], { silenceMaxMs: 20 });
    await watch.waitForVersion(4, soon());
    assert.ok(first.requests.length + second.requests.length < 10);
  });

  test('takes a snapshot that comes in parts, and counts it after the last', async () => {
    const controller = new FakeController();
    controller.itemsPerPart = 1;
    controller.append(3, cluster('c'), broker(1), broker(2), ...topic);
    await using watch = watching([controller]);
    const versions: number[] = [];
    watch.onChange((_, version) => versions.push(version));
    await watch.waitForVersion(1, soon());
    assert.deepEqual(watch.image.snapshot(), controller.image.snapshot());
    assert.deepEqual(versions, [3]);
  });

  test('resumes at another controller from the version that it has, and listeners see each change once', async () => {
    const [first, second] = [new FakeController(), new FakeController()];
    const history = [
      [3, [cluster('c'), broker(1)]],
      [4, topic],
      [5, [broker(2)]],
    ] as const;
    for (const [version, events] of history) second.append(version, ...events);
    for (const [version, events] of history.slice(0, 2)) first.append(version, ...events);
    await using watch = watching([first, second]);
    const mirror = new MetadataImage();
    watch.onChange((events, version) => mirror.apply(version, events));
    await watch.waitForVersion(4, soon());
    first.goDown();
    await watch.waitForVersion(5, soon());
    assert.deepEqual(
      second.requests.map((request) => request.fromVersion),
      [4n],
    );
    assert.deepEqual(mirror.snapshot(), second.image.snapshot());
    assert.equal(second.requests[0]?.watcher, 'test');
  });

  test('gets a snapshot where the history is gone, and tells listeners only the difference', async () => {
    const [first, second] = [new FakeController(), new FakeController()];
    first.append(3, cluster('c'), broker(1), broker(2));
    second.append(9, cluster('c'), broker(1), broker(3), ...topic);
    second.oldest = 9;
    await using watch = watching([first, second]);
    await watch.waitForVersion(3, soon());
    const kinds: string[] = [];
    watch.onChange((events) => kinds.push(...events.map((event) => event.kind)));
    first.goDown();
    await watch.waitForVersion(9, soon());
    assert.deepEqual(watch.image.snapshot(), second.image.snapshot());
    const changes = ['broker-changed', 'topic-changed', 'partition-changed', 'partition-changed', 'broker-removed'];
    assert.deepEqual(kinds, changes);
  });

  test('never goes back to an older version, and catches up once that controller does', async () => {
    const [ahead, behind] = [new FakeController(), new FakeController()];
    ahead.append(3, cluster('c'), broker(1));
    ahead.append(8, broker(1, 8));
    behind.append(3, cluster('c'), broker(1));
    await using watch = watching([ahead, behind]);
    await watch.waitForVersion(8, soon());
    ahead.goDown();
    await eventually(() => behind.requests.length > 0, 'the other controller is asked');
    behind.append(8, broker(1, 8));
    behind.append(9, broker(2));
    await watch.waitForVersion(9, soon());
    assert.equal(watch.image.broker(1 as never)?.brokerEpoch, 8);
    assert.deepEqual(watch.image.snapshot(), behind.image.snapshot());
  });

  test('leaves a controller that says nothing', async () => {
    const [silent, talking] = [new FakeController(), new FakeController()];
    silent.isSilent = true;
    talking.append(3, cluster('c'));
    await using watch = watching([silent, talking], { silenceMaxMs: 20 });
    await watch.waitForVersion(3, soon());
    assert.equal(silent.requests.length > 0, true);
  });

  test('keeps the leader of the newest term', async () => {
    const [newer, older] = [new FakeController(), new FakeController()];
    newer.append(3, cluster('c'));
    older.append(3, cluster('c'));
    Object.assign(newer, { term: 5, leaderId: 2 });
    Object.assign(older, { term: 4, leaderId: 1 });
    await using watch = watching([newer, older]);
    await watch.waitForVersion(3, soon());
    newer.goDown();
    older.append(4, broker(1));
    await watch.waitForVersion(4, soon());
    assert.equal(watch.leaderId, 2);
  });

  test('refuses the metadata of another cluster', async () => {
    const [ours, foreign] = [new FakeController(), new FakeController()];
    ours.append(3, cluster('ours'));
    foreign.append(9, cluster('foreign'));
    foreign.oldest = 9;
    await using watch = watching([ours, foreign]);
    await watch.waitForVersion(3, soon());
    ours.goDown();
    await eventually(() => foreign.requests.length > 1, 'the foreign controller is asked twice');
    assert.equal(watch.image.cluster.clusterId, 'ours');
    assert.equal(watch.version, 3);
  });

  test('bounds a snapshot', async () => {
    const [large, small] = [new FakeController(), new FakeController()];
    large.append(9, cluster('c'), broker(1), broker(2), broker(3));
    small.append(3, cluster('c'), broker(1));
    await using watch = watching([large, small], { snapshotItemsMax: 2 });
    await watch.waitForVersion(3, soon());
    assert.equal(watch.version, 3);
  });

  test('ends waits by version, signal, bound and stop', async () => {
    const controller = new FakeController();
    controller.append(3, cluster('c'));
    const watch = watching([controller], { waitersMax: 2 });
    await watch.waitForVersion(3, soon());
    const gone = new AbortController();
    const cancelled = watch.waitForVersion(4, gone.signal);
    const stopped = watch.waitForVersion(5, soon());
    await assert.rejects(watch.waitForVersion(6, soon()), { code: 'LIMIT_EXCEEDED' });
    gone.abort(new DomainError('CANCELLED', 'gone'));
    await assert.rejects(cancelled, { code: 'CANCELLED' });
    const rejection = assert.rejects(stopped, { code: 'SHUTTING_DOWN' });
    await watch.stop();
    await rejection;
    await assert.rejects(watch.waitForVersion(7 as MetadataVersion, soon()), { code: 'SHUTTING_DOWN' });
  });
});
