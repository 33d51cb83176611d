import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type ConfChange,
  type ConfChangeTransition,
  type ConfChangeType,
  type ConfState,
  emptyConfState,
  leaveJointChange,
  MemoryStorage,
  Raft,
  silentRaftLogger,
} from '@fleetmq/raft';
import { type LogIndex, seededRandom, type Term } from '@fleetmq/shared';
import { describeConfState, nextConfState } from './configurations.ts';
import { isBlocking, isQuorum, quorumsIntersect, reachedByQuorum, votersOf } from './quorums.ts';

const types: readonly ConfChangeType[] = [
  'ConfChangeAddNode',
  'ConfChangeAddLearnerNode',
  'ConfChangeRemoveNode',
  'ConfChangeUpdateNode',
];
const transitions: readonly ConfChangeTransition[] = [
  'ConfChangeTransitionAuto',
  'ConfChangeTransitionJointImplicit',
  'ConfChangeTransitionJointExplicit',
];
const context = new Uint8Array(0);

function coreWith(confState: ConfState): Raft {
  const storage = new MemoryStorage();
  storage.applySnapshot({ index: 1 as LogIndex, term: 1 as Term, confState, data: context });
  return new Raft({
    id: 1,
    storage,
    applied: 1 as LogIndex,
    random: () => 0.5,
    logger: silentRaftLogger,
    electionTicks: 10,
    heartbeatTicks: 1,
    asyncStorageWrites: true,
  });
}

describe('configurations as the invariants see them', () => {
  test('follow from each other as in the core, joint ones as well', () => {
    const random = seededRandom(7);
    const pick = <Value>(values: readonly Value[]): Value => values[Math.floor(random.next() * values.length)] as Value;
    let compared = 0;
    let joint = 0;
    for (let round = 0; round < 300; round++) {
      let confState: ConfState = { ...emptyConfState, voters: [1, 2, 3] };
      const core = coreWith(confState);
      for (let index = 2; index < 12; index++) {
        const single = () => ({ type: pick(types), nodeId: 1 + Math.floor(random.next() * 6) });
        const changes = Array.from({ length: 1 + Math.floor(random.next() * 3) }, single);
        const change: ConfChange =
          confState.votersOutgoing.length > 0
            ? leaveJointChange
            : pick<ConfChange>([
                { kind: 'one-step', ...single(), context },
                { kind: 'joint', transition: pick(transitions), changes, context },
              ]);
        let next: ConfState | undefined;
        try {
          next = core.applyConfChange(change, index as LogIndex);
        } catch {
          // It does not fit: more than one voter without joint consensus, or nobody is left.
          break;
        }
        const before = confState;
        confState = nextConfState(before, change);
        assert.equal(describeConfState(confState), describeConfState(next as ConfState));
        assert.ok(quorumsIntersect(before, confState), `${describeConfState(before)}, ${describeConfState(confState)}`);
        compared++;
        if (confState.votersOutgoing.length > 0) joint++;
      }
    }
    assert.ok(compared > 500 && joint > 100, `${compared} changes, ${joint} joint`);
  });

  test('decide by a majority of each half', () => {
    const one = { voters: [1, 2, 3], votersOutgoing: [] };
    const joint = { voters: [1, 4, 5], votersOutgoing: [1, 2, 3] };
    const among =
      (...ids: number[]) =>
      (id: number) =>
        ids.includes(id);
    assert.deepEqual(votersOf(joint), [1, 2, 3, 4, 5]);
    assert.equal(isQuorum(one, among(2, 3)), true);
    assert.equal(isQuorum(one, among(2, 4, 5)), false);
    assert.equal(isQuorum(joint, among(1, 2)), false);
    assert.equal(isQuorum(joint, among(1, 2, 4)), true);
    assert.equal(isQuorum({ voters: [], votersOutgoing: [] }, among(1)), false);
    assert.equal(isBlocking(joint, among(2, 3)), true);
    assert.equal(isBlocking(joint, among(2, 4)), false);
    assert.equal(
      reachedByQuorum(one, (id) => id * 10),
      20,
    );
    assert.equal(
      reachedByQuorum(joint, (id) => id * 10),
      20,
    );
  });

  test('two voters may not change at once without joint consensus', () => {
    const of = (...voters: number[]) => ({ voters, votersOutgoing: [] });
    assert.equal(quorumsIntersect(of(1, 2, 3), of(1, 2)), true);
    assert.equal(quorumsIntersect(of(1, 2, 3), of(1)), false);
    assert.equal(quorumsIntersect(of(1, 2, 3), of(1, 2, 3, 4, 5)), false);
    assert.equal(quorumsIntersect(of(1, 2, 3), { voters: [1, 4, 5], votersOutgoing: [1, 2, 3] }), true);
  });
});
