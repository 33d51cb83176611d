import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ClusterImage, type MetadataEvent, MetadataImage } from '@fleetmq/metadata';
import type { MetadataVersion, Term } from '@fleetmq/shared';
import { DomainError, silentLogger } from '@fleetmq/shared';
import { nodeTimers } from '@fleetmq/shared/runtime';
import type { WatchMessage } from '../wire/watch.ts';
import { LeadershipState } from './leadership.ts';
import { MetadataFeed, type MetadataFeedOptions } from './metadata-feed.ts';

class Fixture {
  readonly image = new MetadataImage();
  readonly leadership = new LeadershipState(new Map(), { role: 'StateFollower', leaderId: 2, term: 5 as Term });
  readonly feed: MetadataFeed;
  readonly stopping = new AbortController();

  constructor(options: Partial<MetadataFeedOptions> = {}) {
    this.feed = new MetadataFeed({
      controllers: () => [],
      view: () => this.image,
      leadership: this.leadership,
      timers: nodeTimers,
      logger: silentLogger,
      historyEventsMax: 5,
      partItemsMax: 2,
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
    const events: MetadataEvent[] = [{ kind: 'cluster-changed', cluster }];
    this.image.apply(version as MetadataVersion, events);
    this.feed.add(events, version as MetadataVersion);
  }

  watch(fromVersion: number): AsyncGenerator<WatchMessage> {
    return this.feed.watch({ fromVersion, watcher: 'test' }, this.stopping.signal);
  }
}

async function next(watch: AsyncGenerator<WatchMessage>): Promise<WatchMessage> {
  const result = await watch.next();
  assert.equal(result.done, false);
  return result.value as WatchMessage;
}

const shape = ({ version, events, snapshot }: WatchMessage): string =>
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
