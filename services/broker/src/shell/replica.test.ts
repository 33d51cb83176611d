import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openLog } from '@fleetmq/log';
import { MemoryDisk } from '@fleetmq/log/testing';
import { effectiveTopicConfig } from '@fleetmq/metadata';
import { BatchBuilder, defaultBatchLimits, validateProduced } from '@fleetmq/record';
import { type LeaderEpoch, tableChecksum, toOffset } from '@fleetmq/shared';
import { ByteBudget } from './byte-budget.ts';
import { Replica } from './replica.ts';

const settings = { config: new Map() };
const assignment = { replicas: [1, 2], inSyncReplicas: [1, 2] };

/** A replica on broker 1 whose log holds these numbers of records, one batch each, all durable. */
async function openReplica(...batches: readonly number[]): Promise<Replica> {
  const replica = new Replica({
    ...{ localId: 1, topicId: 'a'.repeat(32), topic: 't', partition: 0, replicationFactor: 2, highWatermark: 0 },
    config: effectiveTopicConfig(settings, settings, 2),
    waitersMax: 10,
    pendingBudget: new ByteBudget('batches', 1_000_000),
    listener: { onProgress() {}, onRoleChange() {}, onFailure() {}, onAckWaiting() {} },
    monotonicMs: () => 0,
  });
  const onDurable = (end: number): void => replica.onDurable(end);
  const log = await openLog({ disk: new MemoryDisk(), folder: 'l', checksum: tableChecksum, onDurable });
  for (const count of batches) {
    const builder = new BatchBuilder();
    for (let i = 0; i < count; i++) builder.append(undefined, new Uint8Array(1), [], 0);
    const batch = validateProduced(builder.build({}, tableChecksum).bytes, defaultBatchLimits, tableChecksum);
    log.appendAsLeader(batch, { leaderEpoch: 1 as LeaderEpoch, appendTimeMs: 1 });
  }
  await log.flush();
  replica.attach(log);
  return replica;
}

test('P7: whoever is to lead while its log is being cut begins where the cut has left it', async () => {
  const replica = await openReplica(5, 5);
  replica.assign({ ...assignment, leaderId: 2, leaderEpoch: 2, partitionEpoch: 2 });
  const cut = replica.runJob(() => replica.openLog().truncateTo(toOffset(5)));
  replica.assign({ ...assignment, leaderId: 1, leaderEpoch: 3, partitionEpoch: 3 });
  assert.equal(replica.state.role, 'follower');
  await cut;
  await replica.runJob(async () => undefined);
  assert.equal(replica.state.role, 'leader');
  assert.deepEqual([replica.state.leader?.epochStartOffset, replica.state.leader?.durableEndOffset], [5, 5]);
});

test('what the controllers say later is not undone by what had to wait', async () => {
  const replica = await openReplica(5);
  const cut = replica.runJob(() => replica.openLog().truncateTo(toOffset(0)));
  replica.assign({ ...assignment, leaderId: 1, leaderEpoch: 3, partitionEpoch: 3 });
  replica.assign({ ...assignment, leaderId: 2, leaderEpoch: 4, partitionEpoch: 4 });
  await cut;
  await replica.runJob(async () => undefined);
  assert.deepEqual([replica.state.role, replica.state.leaderEpoch], ['follower', 4]);
});
