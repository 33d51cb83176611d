import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DomainError, type LogIndex, seededRandom, type Term } from '@fleetmq/shared';
import { nodeClock, nodeTimers } from '@fleetmq/shared/runtime';
import { defaultPlanLimits } from '../domain/plan.ts';
import { Machine, topicOn } from '../testing/machine.fuzz.ts';
import { LeaderView } from './leader-view.ts';
import { LeadershipState } from './leadership.ts';
import { LinearReads } from './linear-reads.ts';
import { Proposals } from './propose.ts';
import { TopicAdmin } from './topic-admin.ts';

const term = 5 as Term;
const call = { signal: new AbortController().signal, validateOnly: false };
const hasCode = (code: string) => (error: unknown) => error instanceof DomainError && error.code === code;

/** A leader with the topic `topic-1`, whose reads wait until somebody confirms them, or until it is told that it was deposed. */
class Fixture {
  readonly machine = Machine.with(1);
  readonly leadership = new LeadershipState(new Map(), { role: 'StateLeader', leaderId: 1, term });
  readonly #contexts: Uint8Array[] = [];
  readonly #reads = new LinearReads({
    driver: {
      readIndex: (context) => {
        this.#contexts.push(context);
        return undefined;
      },
    },
    leadership: this.leadership,
    appliedIndex: () => this.machine.index as LogIndex,
    timers: nodeTimers,
    timeoutMs: 10_000,
  });
  readonly topics: TopicAdmin;
  proposed = 0;

  constructor() {
    this.leadership.applied(term);
    const proposals = new Proposals({
      driver: { propose: () => ({ index: (100 + this.proposed++) as LogIndex, term }) },
      leadership: this.leadership,
      clock: nodeClock,
      timers: nodeTimers,
      pendingMax: 10,
      timeoutMs: 10_000,
      commandBytesMax: 10_000,
      refusal: () => undefined,
    });
    this.topics = new TopicAdmin({
      leader: new LeaderView({ image: () => this.machine.image, leadership: this.leadership, reads: this.#reads }),
      appliedIndex: () => this.machine.index as LogIndex,
      proposals,
      random: seededRandom(1),
      limits: defaultPlanLimits,
    });
  }

  get waiting(): number {
    return this.#contexts.length;
  }

  confirm(): void {
    for (const context of this.#contexts.splice(0)) this.#reads.confirmed({ index: 1 as LogIndex, context });
  }

  depose(): void {
    this.leadership.update({ role: 'StateFollower', leaderId: 2, term: 6 as Term });
  }
}

/** Everything that a leader may refuse because of the topics that it knows. */
const refused: readonly (readonly [string, string, (topics: TopicAdmin) => Promise<unknown>])[] = [
  ['a creation', 'TOPIC_ALREADY_EXISTS', (topics) => topics.create(creation('topic-1'), call)],
  ['a deletion', 'TOPIC_NOT_FOUND', (topics) => topics.delete({ name: 'absent', topicId: undefined }, call.signal)],
  [
    'a deletion by id',
    'TOPIC_NOT_FOUND',
    (topics) => topics.delete({ name: 'topic-1', topicId: 'other' }, call.signal),
  ],
  ['settings', 'TOPIC_NOT_FOUND', (topics) => topics.alterTopicConfig({ name: 'absent', ...noChange }, call)],
  ['more partitions', 'TOPIC_NOT_FOUND', (topics) => topics.addPartitions(growth('absent', 2), call)],
  ['as many partitions', 'INVALID_REQUEST', (topics) => topics.addPartitions(growth('topic-1', 1), call)],
];
const noChange = { set: new Map<string, string>(), remove: [] };
const growth = (name: string, totalCount: number) => ({ name, totalCount, assignments: [] });
const creation = (name: string) => ({
  name,
  partitionCount: 1,
  replicationFactor: 1,
  config: new Map<string, string>(),
  assignments: [],
});

describe('refusals of topics', () => {
  for (const [what, code, ask] of refused) {
    test(`${what}: refused once a quorum has confirmed the metadata`, async () => {
      const fixture = new Fixture();
      const asked = ask(fixture.topics);
      assert.equal(fixture.waiting, 1);
      fixture.confirm();
      await assert.rejects(asked, hasCode(code));
      assert.equal(fixture.proposed, 0);
    });

    test(`${what}: a leader that was deposed does not refuse it by what it knew`, async () => {
      const fixture = new Fixture();
      const asked = ask(fixture.topics);
      fixture.depose();
      await assert.rejects(asked, hasCode('NOT_LEADER'));
    });
  }

  test('what is not refused waits for no confirmation, and what a confirmed image allows is done', async () => {
    const fixture = new Fixture();
    const done = fixture.topics.delete({ name: 'topic-1', topicId: undefined }, call.signal);
    const late = fixture.topics.delete({ name: 'late', topicId: undefined }, call.signal);
    await new Promise(setImmediate);
    assert.deepEqual([fixture.waiting, fixture.proposed], [1, 1]);
    fixture.machine.do(topicOn([1], 2, 'late'));
    fixture.confirm();
    await new Promise(setImmediate);
    assert.equal(fixture.proposed, 2);
    fixture.depose();
    await Promise.all([done, late].map((each) => assert.rejects(each, hasCode('TIMEOUT'))));
  });
});
