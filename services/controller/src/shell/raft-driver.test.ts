import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MetadataImage } from '@fleetmq/metadata';
import { createMessage, emptyConfState, type Message, silentRaftLogger } from '@fleetmq/raft';
import { type LogIndex, silentLogger, type Term, tableChecksum } from '@fleetmq/shared';
import { nodeClock, nodeTimers } from '@fleetmq/shared/runtime';
import { noMembership } from '../domain/membership.ts';
import { eventually } from '../testing/cluster.ts';
import { durableFilesAfter, MemoryDisk } from '../testing/memory-disk.ts';
import { encodeMembership } from '../wire/membership.ts';
import { encodeImage } from '../wire/snapshot.ts';
import { RaftDriver, type RaftDriverOptions } from './raft-driver.ts';
import { DiskRaftStorage } from './raft-storage.ts';
import { StateMachine } from './state-machine.ts';

function openStorage(disk: MemoryDisk, voters: readonly number[]): Promise<DiskRaftStorage> {
  const confState = { ...emptyConfState, voters };
  const data = encodeImage(new MetadataImage());
  const first = { index: 1 as LogIndex, term: 1 as Term, confState, data };
  return DiskRaftStorage.open({ disk, folder: 'raft', checksum: tableChecksum, logger: silentLogger, first });
}

interface TestDriver extends AsyncDisposable {
  readonly driver: RaftDriver;
  readonly stateMachine: StateMachine;
  /** To other nodes. */
  readonly sent: readonly Message[];
}

async function openDriver(
  disk: MemoryDisk,
  voters: readonly number[],
  failpoint?: RaftDriverOptions['failpoint'],
): Promise<TestDriver> {
  const storage = await openStorage(disk, voters);
  const stateMachine = new StateMachine(storage.currentSnapshot());
  const sent: Message[] = [];
  const driver = new RaftDriver({
    raft: { id: 1, random: () => 0.5, logger: silentRaftLogger, electionTicks: 10, heartbeatTicks: 1 },
    storage,
    stateMachine,
    clock: nodeClock,
    timers: nodeTimers,
    logger: silentLogger,
    tickMs: 10,
    snapshotEntries: 1_000,
    send: (message) => sent.push(message),
    onLeadership: () => undefined,
    onReadState: () => undefined,
    onFatal: (error) => assert.fail(String(error)),
    failpoint,
  });
  return {
    driver,
    stateMachine,
    sent,
    async [Symbol.asyncDispose]() {
      await driver.stop();
      await storage.close();
    },
  };
}

describe('the Raft driver', () => {
  test('a change of members is known to be committed after a crash at the moment when it takes effect', async () => {
    const disk = new MemoryDisk();
    await using opened = await openDriver(disk, [1]);
    const { driver, stateMachine } = opened;
    let durable: ReturnType<typeof durableFilesAfter> | undefined;
    let changedAt = 0;
    stateMachine.addListener({
      onApplied: ({ index, type }) => {
        if (type === 'EntryNormal') return;
        changedAt = index;
        durable = durableFilesAfter(disk.journal);
      },
    });
    driver.start();
    await eventually('a leader', () => driver.leadership.role === 'StateLeader' && stateMachine.appliedIndex > 1);
    const context = encodeMembership(noMembership);
    driver.proposeConfChange({ kind: 'one-step', type: 'ConfChangeAddLearnerNode', nodeId: 2, context });
    await eventually('the change', () => durable !== undefined);

    const recovered = await openStorage(new MemoryDisk(durable), [1]);
    assert.ok(changedAt > 1);
    assert.equal(recovered.initialState().hardState.commit, changedAt);
    await recovered.close();
  });

  test('who is quiet votes, although it heard of a leader, and asks for no vote itself', async () => {
    await using opened = await openDriver(new MemoryDisk(), [1, 2]);
    const { driver, sent } = opened;
    const term = 5 as Term;
    driver.start();
    driver.quiet();
    driver.step(createMessage('MsgHeartbeat', { from: 2, to: 1, term }));
    const question = { from: 2, to: 1, term: 6 as Term, index: 1 as LogIndex, logTerm: 1 as Term };
    await eventually('a vote', () => {
      driver.step(createMessage('MsgPreVote', question));
      return sent.some(({ type, reject }) => type === 'MsgPreVoteResp' && !reject);
    });
    assert.ok(sent.every(({ type }) => type !== 'MsgPreVote' && type !== 'MsgVote'));
  });

  test('a new term is not told before it is durable', async () => {
    const disk = Promise.withResolvers<void>();
    await using opened = await openDriver(new MemoryDisk(), [1, 2], (point) =>
      point === 'before-persist' ? disk.promise : undefined,
    );
    const { driver, sent } = opened;
    const term = 6 as Term;
    driver.start();
    driver.step(createMessage('MsgHeartbeat', { from: 2, to: 1, term }));
    await eventually('the term', () => driver.leadership.term === term);
    assert.equal(driver.status().term, term);
    assert.equal(driver.durableTerm, 1);
    assert.deepEqual(sent, []);

    disk.resolve();
    await eventually('an answer', () => sent.length > 0);
    assert.equal(driver.durableTerm, term);
  });
});
