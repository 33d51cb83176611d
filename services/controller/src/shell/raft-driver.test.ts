import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MetadataImage } from '@fleetmq/metadata';
import { emptyConfState, silentRaftLogger } from '@fleetmq/raft';
import { type LogIndex, silentLogger, type Term, tableChecksum } from '@fleetmq/shared';
import { nodeTimers } from '@fleetmq/shared/runtime';
import { noMembership } from '../domain/membership.ts';
import { eventually } from '../testing/cluster.ts';
import { durableFilesAfter, MemoryDisk } from '../testing/memory-disk.ts';
import { encodeMembership } from '../wire/membership.ts';
import { encodeImage } from '../wire/snapshot.ts';
import { RaftDriver } from './raft-driver.ts';
import { DiskRaftStorage } from './raft-storage.ts';
import { StateMachine } from './state-machine.ts';

function openStorage(disk: MemoryDisk): Promise<DiskRaftStorage> {
  const confState = { ...emptyConfState, voters: [1] };
  const data = encodeImage(new MetadataImage());
  const first = { index: 1 as LogIndex, term: 1 as Term, confState, data };
  return DiskRaftStorage.open({ disk, folder: 'raft', checksum: tableChecksum, logger: silentLogger, first });
}

describe('the Raft driver', () => {
  test('a change of members is known to be committed after a crash at the moment when it takes effect', async () => {
    const disk = new MemoryDisk();
    const storage = await openStorage(disk);
    const stateMachine = new StateMachine(storage.currentSnapshot());
    let durable: ReturnType<typeof durableFilesAfter> | undefined;
    let changedAt = 0;
    stateMachine.addListener({
      onApplied: ({ index, type }) => {
        if (type === 'EntryNormal') return;
        changedAt = index;
        durable = durableFilesAfter(disk.journal);
      },
    });
    const driver = new RaftDriver({
      raft: { id: 1, random: () => 0.5, logger: silentRaftLogger, electionTicks: 10, heartbeatTicks: 1 },
      storage,
      stateMachine,
      timers: nodeTimers,
      logger: silentLogger,
      tickMs: 10,
      snapshotEntries: 1_000,
      send: () => undefined,
      onLeadership: () => undefined,
      onReadState: () => undefined,
      onFatal: (error) => assert.fail(String(error)),
    });
    driver.start();
    await eventually('a leader', () => driver.leadership.role === 'StateLeader' && stateMachine.appliedIndex > 1);
    const context = encodeMembership(noMembership);
    driver.proposeConfChange({ kind: 'one-step', type: 'ConfChangeAddLearnerNode', nodeId: 2, context });
    await eventually('the change', () => durable !== undefined);
    await driver.stop();
    await storage.close();

    const recovered = await openStorage(new MemoryDisk(durable));
    assert.ok(changedAt > 1);
    assert.equal(recovered.initialState().hardState.commit, changedAt);
    await recovered.close();
  });
});
