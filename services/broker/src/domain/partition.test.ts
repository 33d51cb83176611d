import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Assignment, PartitionState } from './partition.ts';

const facts = { endOffset: 100, durableEndOffset: 100, minInsyncReplicas: 2, nowMs: 0 };
const assignment = (fields: Partial<Assignment> = {}): Assignment => ({
  leaderId: 1,
  leaderEpoch: 3,
  replicas: [1, 2, 3],
  inSyncReplicas: [1, 2, 3],
  partitionEpoch: 10,
  ...fields,
});

test('the assignment decides the role', () => {
  const state = new PartitionState(1, 0);
  assert.equal(state.role, 'offline');
  assert.equal(state.applyAssignment(assignment(), facts)?.after, 'leader');
  assert.equal(state.leader?.leaderEpoch, 3);
  const follower = new PartitionState(2, 0);
  assert.equal(follower.applyAssignment(assignment(), facts)?.after, 'follower');
  const orphan = new PartitionState(2, 0);
  assert.equal(orphan.applyAssignment(assignment({ leaderId: 0 }), facts)?.after, 'offline');
});

test('what is older than known changes nothing', () => {
  const state = new PartitionState(1, 0);
  state.applyAssignment(assignment(), facts);
  assert.equal(
    state.applyAssignment(assignment({ leaderId: 2, leaderEpoch: 4, partitionEpoch: 10 }), facts),
    undefined,
  );
  assert.equal(state.applyAssignment(assignment({ leaderId: 2, partitionEpoch: 9 }), facts), undefined);
  assert.equal(state.observeLeader(2, 3), undefined);
  assert.equal(state.role, 'leader');
});

test('P12: a message of a newer leader ends a leadership at once, and the old assignment does not bring it back', () => {
  const state = new PartitionState(1, 0);
  state.applyAssignment(assignment(), facts);
  const change = state.observeLeader(2, 4);
  assert.deepEqual([change?.before, change?.after, change?.newEpoch], ['leader', 'follower', true]);
  assert.equal(state.applyAssignment(assignment({ partitionEpoch: 11, inSyncReplicas: [1, 2] }), facts), undefined);
  assert.equal(state.role, 'follower');
  assert.equal(state.leaderEpoch, 4);
});

test('a leader of the same epoch takes a new ISR without beginning anew', () => {
  const state = new PartitionState(1, 0);
  state.applyAssignment(assignment(), facts);
  const { leader } = state;
  const change = state.applyAssignment(assignment({ inSyncReplicas: [1, 2], partitionEpoch: 11 }), facts);
  assert.equal(change?.newEpoch, false);
  assert.equal(state.leader, leader);
  assert.deepEqual(state.leader?.isr.committed, [1, 2]);
});

test('P7: a watermark that was recorded for a log that is gone is not taken for that of the empty one in its place', () => {
  const state = new PartitionState(2, 40);
  state.onLogOpened(0);
  state.applyAssignment(assignment(), { ...facts, endOffset: 0, durableEndOffset: 0 });
  assert.equal(state.highWatermark, 0);
  state.onMatch(15, 40);
  assert.equal(state.highWatermark, 15);
  const whole = new PartitionState(2, 40);
  whole.onLogOpened(100);
  assert.equal(whole.highWatermark, 40);
});

test('the watermark survives every change of role', () => {
  const state = new PartitionState(1, 40);
  state.applyAssignment(assignment({ leaderId: 2 }), facts);
  assert.ok(state.onMatch(80, 60));
  assert.equal(state.highWatermark, 60);
  assert.equal(state.onMatch(80, 90), true);
  assert.equal(state.highWatermark, 80);
  state.applyAssignment(assignment({ leaderEpoch: 4, partitionEpoch: 11 }), facts);
  assert.equal(state.leader?.highWatermark, 80);
  state.leader?.onFollowerDurable(2, 100, 1, 0);
  state.leader?.onFollowerDurable(3, 100, 1, 0);
  assert.equal(state.highWatermark, 100);
  state.applyAssignment(assignment({ leaderId: 3, leaderEpoch: 5, partitionEpoch: 12 }), facts);
  assert.equal(state.highWatermark, 100);
});

test("P7: a follower's watermark does not pass what certainly equals its leader's log, not even in a longer own log", () => {
  const state = new PartitionState(2, 0);
  state.applyAssignment(assignment({ leaderId: 1 }), facts);
  state.onMatch(30, 90);
  assert.equal(state.highWatermark, 30);
  state.applyAssignment(assignment({ leaderId: 3, leaderEpoch: 4, partitionEpoch: 11 }), facts);
  assert.equal(state.matchedEnd, 0);
});

test('a stop ends every role', () => {
  const state = new PartitionState(1, 0);
  state.applyAssignment(assignment(), facts);
  assert.deepEqual(state.stop().after, 'offline');
  assert.equal(state.leader, undefined);
});
