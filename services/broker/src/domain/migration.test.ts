import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PartitionImage } from '@fleetmq/metadata';
import type { BrokerId, LeaderEpoch, PartitionEpoch, PartitionId, TopicId } from '@fleetmq/shared';
import { migrationStage, remainingMs } from './migration.ts';

const ids = (...numbers: number[]) => numbers as BrokerId[];
const migration = { sourceId: 2 as BrokerId, targetId: 4 as BrokerId };

function partitionOf(change: Partial<PartitionImage>): PartitionImage {
  return {
    topicId: 'f'.repeat(32) as TopicId,
    partition: 0 as PartitionId,
    leaderId: 1 as BrokerId,
    leaderEpoch: 1 as LeaderEpoch,
    replicas: ids(1, 2, 3),
    inSyncReplicas: ids(1, 2, 3),
    partitionEpoch: 1 as PartitionEpoch,
    ...change,
  };
}

const moving = (sourceReplicas: BrokerId[], targetReplicas: BrokerId[]) => ({
  move: { reassignmentId: 'r', sourceReplicas, targetReplicas },
});

test('a migration is where the metadata says that it is', () => {
  for (const [what, change, stage] of [
    ['nothing was asked for', {}, { kind: 'to-start', replicas: ids(1, 4, 3) }],
    ['it runs', { replicas: ids(1, 4, 3, 2), ...moving(ids(1, 2, 3), ids(1, 4, 3)) }, { kind: 'copying' }],
    [
      'the target has caught up',
      { replicas: ids(1, 4, 3, 2), inSyncReplicas: ids(1, 4, 2), ...moving(ids(1, 2, 3), ids(1, 4, 3)) },
      { kind: 'swapping' },
    ],
    ['it is over', { replicas: ids(1, 4, 3) }, { kind: 'done' }],
  ] as const) {
    assert.deepEqual(migrationStage(partitionOf(change), migration), stage, what);
  }
});

test('what is no such move is refused', () => {
  for (const [change, code] of [
    [{ replicas: ids(1, 2, 4) }, 'INVALID_REQUEST'],
    [{ replicas: ids(1, 3) }, 'INVALID_REQUEST'],
    [{ replicas: ids(1, 5, 3, 2), ...moving(ids(1, 2, 3), ids(1, 5, 3)) }, 'REASSIGNMENT_IN_PROGRESS'],
    [{ replicas: ids(1, 2, 4, 3), ...moving(ids(1, 2, 3), ids(1, 2, 4)) }, 'REASSIGNMENT_IN_PROGRESS'],
  ] as const) {
    assert.throws(() => migrationStage(partitionOf(change), migration), { code });
  }
  const same = { sourceId: 2 as BrokerId, targetId: 2 as BrokerId };
  assert.throws(() => migrationStage(partitionOf({}), same), { code: 'INVALID_REQUEST' });
});

test('what remains is estimated by the pace so far', () => {
  assert.equal(remainingMs({ bytes: 300, sinceBytes: 100, elapsedMs: 1_000 }, 700), 2_000);
  assert.equal(remainingMs({ bytes: 700, sinceBytes: 100, elapsedMs: 1_000 }, 700), 0);
  assert.equal(remainingMs({ bytes: 100, sinceBytes: 100, elapsedMs: 1_000 }, 700), undefined);
});
