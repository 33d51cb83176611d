import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { type WatchMetadataResponse, WatchMetadataResponseSchema } from '@fleetmq/gen/controller/cluster';
import {
  type ClusterImage,
  joinSnapshotParts,
  type MetadataEvent,
  MetadataImage,
  type TopicImage,
} from '@fleetmq/metadata';
import { eventFromProto, SnapshotPages, snapshotFromProto } from '@fleetmq/metadata/wire';
import type { MetadataVersion, Term } from '@fleetmq/shared';
import { DomainError, silentLogger } from '@fleetmq/shared';
import { nodeTimers } from '@fleetmq/shared/runtime';
import { encodeWatchMessage, type WatchMessage } from '../wire/watch.ts';
import { LeadershipState } from './leadership.ts';
import { MetadataFeed, type MetadataFeedOptions } from './metadata-feed.ts';

class Fixture {
  readonly image = new MetadataImage();
  readonly pages = new SnapshotPages(this.image);
  readonly leadership = new LeadershipState(new Map(), { role: 'StateFollower', leaderId: 2, term: 5 as Term });
  readonly feed: MetadataFeed;
  readonly stopping = new AbortController();

  constructor(options: Partial<MetadataFeedOptions> = {}) {
    this.feed = new MetadataFeed({
      controllers: () => [],
      view: () => this.image,
      pages: () => this.pages,
      leadership: this.leadership,
      timers: nodeTimers,
      logger: silentLogger,
      historyEventsMax: 5,
      partBytesMax: 200,
      answerEventsMax: 3,
      heartbeatMs: 20_000,
      patienceMs: 50,
      watchersMax: 3,
      ...options,
    });
  }

  /** One change of the metadata; its version is its number. */
  change(version: number): void {
    const cluster: ClusterImage = { ...this.image.cluster, clusterId: `v${version}` };
    this.apply(version, [{ kind: 'cluster-changed', cluster }]);
  }

  apply(version: number, events: readonly MetadataEvent[]): void {
    this.image.apply(version as MetadataVersion, events);
    this.pages.changed(events);
    this.feed.add(events, version as MetadataVersion);
  }

  watch(fromVersion: number): AsyncGenerator<WatchMessage> {
    return this.feed.watch({ fromVersion, watcher: 'test' }, this.stopping.signal);
  }
}

/** As the watcher reads it. */
async function next(watch: AsyncGenerator<WatchMessage>): Promise<WatchMetadataResponse> {
  const result = await watch.next();
  assert.equal(result.done, false);
  return fromBinary(WatchMetadataResponseSchema, Buffer.concat(encodeWatchMessage(result.value as WatchMessage)));
}

function topicWith(number: number, partitionCount: number): MetadataEvent[] {
  const topicId = `${number % 10}${String(number).padStart(31, '0')}` as TopicImage['topicId'];
  const topic: TopicImage = { topicId, name: `t${number}`, config: new Map(), internal: false, partitionCount };
  const partitions = Array.from({ length: partitionCount }, (_, partition) => {
    const replicas = [1, 2, 300].map((id) => id + (partition % 3));
    const epochs = { leaderEpoch: 1, partitionEpoch: number };
    return { topicId, partition, leaderId: 1, replicas, inSyncReplicas: replicas.slice(0, 2), ...epochs };
  });
  return [
    { kind: 'topic-changed', topic },
    ...partitions.map((each): MetadataEvent => ({ kind: 'partition-changed', partition: each as never })),
  ];
}

const shape = ({ version, events, snapshot }: WatchMetadataResponse): string =>
  `${version}${snapshot === undefined ? '' : ' snapshot'} ${events.length}`;

const hasCode = (code: string) => (error: unknown) => error instanceof DomainError && error.code === code;

describe('the metadata feed', { timeout: 20_000 }, () => {
  test('a new watcher gets a snapshot, then every change', async () => {
    const fixture = new Fixture();
    fixture.change(1);
    const watch = fixture.watch(0);
    assert.equal(shape(await next(watch)), '1 snapshot 0');
    const waiting = next(watch);
    fixture.change(2);
    const news = await waiting;
    assert.equal(shape(news), '2 1');
    assert.deepEqual([news.leaderId, news.term], [2, 5n]);
    for (const version of [3, 4, 6, 9]) fixture.change(version);
    // Bounded in events; the version is that of the last one.
    assert.equal(shape(await next(watch)), '6 3');
    assert.equal(shape(await next(watch)), '9 1');
  });

  test('a snapshot comes in parts, all of one moment, and changes as they are', async () => {
    const fixture = new Fixture();
    for (let number = 1; number <= 12; number++) fixture.apply(number, topicWith(number, number % 5));
    const watch = fixture.watch(0);
    const parts = [await next(watch)];
    const whole = fixture.image.snapshot();
    // What comes meanwhile is no part of it.
    const more = topicWith(13, 4);
    fixture.apply(13, more);
    while (parts.at(-1)?.snapshotPart === true) parts.push(await next(watch));
    assert.ok(parts.length > 3, `${parts.length} parts`);
    const joined = joinSnapshotParts(parts.map(({ snapshot }) => snapshotFromProto(snapshot as never)));
    assert.deepEqual(joined, whole);
    assert.ok(parts.every(({ version }) => version === 12n));
    const news = await next(watch);
    assert.deepEqual(news.events.map(eventFromProto), more);
  });

  test('a watcher that comes back goes on where it was, if the history reaches', async () => {
    const fixture = new Fixture();
    for (let version = 1; version <= 8; version++) fixture.change(version);
    const watch = fixture.watch(6);
    assert.equal(shape(await next(watch)), '6 0');
    assert.equal(shape(await next(watch)), '8 2');
    // The last five changes are kept, 4 to 8: version 3 can be continued, version 2 cannot.
    assert.equal(shape(await next(fixture.watch(3))), '3 0');
    assert.equal(shape(await next(fixture.watch(2))), '8 snapshot 0');
  });

  test('a slow watcher is dropped, and the history does not grow for it', async () => {
    const fixture = new Fixture();
    fixture.change(1);
    const watch = fixture.watch(1);
    await next(watch);
    for (let version = 2; version <= 20; version++) fixture.change(version);
    await assert.rejects(watch.next(), hasCode('NOT_AVAILABLE'));
    assert.equal(fixture.feed.watchers, 0);
  });

  test('an installed snapshot ends the history: watchers begin again', async () => {
    const fixture = new Fixture();
    for (let version = 1; version <= 3; version++) fixture.change(version);
    const watch = fixture.watch(3);
    await next(watch);
    fixture.image.apply(50 as MetadataVersion, []);
    fixture.feed.reset();
    await assert.rejects(watch.next(), hasCode('NOT_AVAILABLE'));
    assert.equal(shape(await next(fixture.watch(3))), '50 snapshot 0');
  });

  test('versions never go back: a node that is behind waits, then sends the watcher away', async () => {
    const fixture = new Fixture();
    fixture.change(1);
    await assert.rejects(fixture.watch(2).next(), hasCode('NOT_AVAILABLE'));
    const patient = new Fixture({ patienceMs: 10_000 });
    patient.change(1);
    const watch = patient.watch(2);
    const first = next(watch);
    patient.change(2);
    assert.equal(shape(await first), '2 0');
  });

  test('heartbeats come while a leader is known, and a new leader is told at once', async () => {
    const fixture = new Fixture({ heartbeatMs: 5 });
    fixture.change(1);
    const watch = fixture.watch(1);
    await next(watch);
    assert.equal(shape(await next(watch)), '1 0');
    fixture.leadership.update({ role: 'StateFollower', leaderId: 0, term: 6 as Term });
    // Without a leader this node may be cut off: silence, then the end.
    await assert.rejects(watch.next(), hasCode('NOT_AVAILABLE'));
    // A watcher that comes back is not told either that it is up to date; one that has nothing gets what there is.
    await assert.rejects(fixture.watch(1).next(), hasCode('NOT_AVAILABLE'));
    assert.equal(shape(await next(fixture.watch(0))), '1 snapshot 0');
    const slow = new Fixture();
    slow.change(1);
    const quiet = slow.watch(1);
    await next(quiet);
    const told = next(quiet);
    slow.leadership.update({ role: 'StateFollower', leaderId: 3, term: 6 as Term });
    assert.equal((await told).leaderId, 3);
  });

  test('watches are bounded, and end with their signal', async () => {
    const fixture = new Fixture();
    fixture.change(1);
    const watches = [1, 1, 1].map((version) => fixture.watch(version));
    for (const watch of watches) await next(watch);
    await assert.rejects(fixture.watch(1).next(), hasCode('LIMIT_EXCEEDED'));
    const waiting = watches[0]?.next();
    fixture.stopping.abort();
    assert.equal((await waiting)?.done, true);
  });
});
