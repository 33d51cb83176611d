import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DomainError, type ErrorName, type Offset, toOffset } from '@fleetmq/shared';
import { batch, contentOf, epoch, folder, openTestLog, readAll } from './testing/batches.ts';
import { type DiskOperation, MemoryDisk, type OperationKind } from './testing/memory-disk.ts';

const at = (appendTimeMs: number, leaderEpoch = 1) => ({ leaderEpoch: epoch(leaderEpoch), appendTimeMs });

/** Makes the next operation of this kind on a path fail once. */
function failNext(disk: MemoryDisk, kind: OperationKind, suffix: string, code: ErrorName, writtenBytes = 0): void {
  disk.intercept = (operation: DiskOperation) => {
    if (operation.kind !== kind || !operation.path.endsWith(suffix)) return undefined;
    disk.intercept = undefined;
    return { error: new DomainError(code, `planted at ${kind} of ${operation.path}`), writtenBytes };
  };
}

const code = (expected: ErrorName) => (error: DomainError) => error.code === expected;

for (const { kind, hasDurableWrites } of [
  { kind: 'sync', hasDurableWrites: false },
  { kind: 'write', hasDurableWrites: false },
  { kind: 'sync-folder', hasDurableWrites: false },
  { kind: 'write', hasDurableWrites: true },
  { kind: 'sync', hasDurableWrites: true },
] as const) {
  const which = hasDurableWrites ? `${kind} of a file with durable writes` : kind;
  test(`a failed ${which} closes the log for good; what was durable is read on, and comes back alone`, async () => {
    const disk = new MemoryDisk({ hasDurableWrites });
    const failures: DomainError[] = [];
    const durable: Offset[] = [];
    const log = await openTestLog(
      disk,
      { segmentBytes: 150 },
      { onFailure: (e) => failures.push(e), onDurable: (e) => durable.push(e) },
    );
    log.appendAsLeader(batch(['kept']), at(1));
    await log.flush();
    failNext(disk, kind, kind === 'sync-folder' ? folder : '.log', 'STORAGE_FAILED', 10);
    for (let i = 0; i < 3; i++) log.appendAsLeader(batch([`lost ${i}`, 'x'.repeat(50)]), at(2, 2));
    const first = log.whenDurable(toOffset(3));
    const last = log.whenDurable(toOffset(7));
    await assert.rejects(first, code('STORAGE_FAILED'));
    await assert.rejects(last, code('STORAGE_FAILED'));
    assert.equal(failures.length, 1);
    assert.equal(log.failure, failures[0]);
    assert.deepEqual([log.endOffset, log.durableEndOffset, log.lastEpoch, log.pendingBytes], [1, 1, 1, 0]);
    assert.deepEqual(durable, [1]);
    assert.throws(() => log.appendAsLeader(batch(['x']), at(3)), code('STORAGE_FAILED'));
    assert.throws(() => log.appendAsFollower(new Uint8Array(0)), code('STORAGE_FAILED'));
    await assert.rejects(log.truncateTo(toOffset(0)), code('STORAGE_FAILED'));
    await assert.rejects(log.applyRetention({ nowMs: 1, highWatermark: toOffset(1) }), code('STORAGE_FAILED'));
    assert.deepEqual(await contentOf(log), ['0:kept']);
    await log.close();
    // The next process sees the bytes of the failed write in the page cache, and must not believe them.
    const next = disk.afterKill();
    const again = await openTestLog(next, { segmentBytes: 150 });
    assert.deepEqual(await contentOf(again), ['0:kept']);
    assert.deepEqual(await contentOf(await openTestLog(disk.afterPowerLoss(() => false))), ['0:kept']);
    // What this life makes durable is believed by the ones after it, also in further segments.
    const content = ['0:kept'];
    for (let i = 1; i <= 4; i++) {
      again.appendAsLeader(batch([`new ${i} ${'x'.repeat(50)}`]), at(4, 3));
      content.push(`${i}:new ${i} ${'x'.repeat(50)}`);
    }
    await again.flush();
    assert.deepEqual(await contentOf(await openTestLog(next.afterPowerLoss(() => false))), content);
  });
}

test('disk full: the appends are undone, the log parses, and goes on when there is room', async () => {
  const disk = new MemoryDisk();
  const rollbacks: [Offset, string][] = [];
  const log = await openTestLog(disk, {}, { onRollback: (end, error) => rollbacks.push([end, error.code]) });
  log.appendAsLeader(batch(['a'], { producerId: 1n }), at(1));
  await log.flush();
  const path = `${folder}/00000000000000000000.log`;
  const before = disk.peek(path)!.slice();
  disk.capacityBytes = disk.paths().reduce((total, p) => total + disk.peek(p)!.length, 0) + 100;
  log.appendAsLeader(batch(['b'], { producerId: 1n, baseSequence: 1, idempotencyKey: 'key' }), at(2, 2));
  log.appendAsLeader(batch(['c'.repeat(50)], { producerId: 2n }), at(2, 3));
  const one = log.whenDurable(toOffset(2));
  await assert.rejects(log.flush(), (error: DomainError) => error.code === 'DISK_FULL' && error.retriable);
  await assert.rejects(one, code('DISK_FULL'));
  assert.deepEqual(rollbacks, [[1, 'DISK_FULL']]);
  assert.deepEqual(disk.peek(path), before);
  assert.deepEqual([log.endOffset, log.durableEndOffset, log.lastEpoch, log.failure], [1, 1, 1, undefined]);
  assert.deepEqual(await contentOf(log), ['0:a']);
  // What was reported as not written does not come back with the power.
  const survivor = await openTestLog(disk.clone());
  assert.deepEqual(await contentOf(survivor), ['0:a']);

  disk.capacityBytes = Number.POSITIVE_INFINITY;
  await log.advanceStartOffset(toOffset(0));
  assert.equal(log.producerState(2n), undefined);
  assert.equal(
    log.appendAsLeader(batch(['b'], { producerId: 1n, baseSequence: 1, idempotencyKey: 'key' }), at(3, 2)).kind,
    'appended',
  );
  await log.flush();
  assert.deepEqual(await contentOf(log), ['0:a', '1:b']);
  assert.equal(log.appendAsLeader(batch(['b'], { producerId: 1n, baseSequence: 1 }), at(3, 2)).kind, 'duplicate');
});

test('disk full at every operation of an append: nothing half-written, nothing lost, and the log goes on', async () => {
  for (const kind of ['open', 'write', 'rename'] as const) {
    for (let skip = 0; skip < 8; skip++) {
      const disk = new MemoryDisk({ hasDurableWrites: skip >= 4 });
      const log = await openTestLog(disk, { segmentBytes: 150, checkpointBytes: 100 });
      for (let i = 0; i < 3; i++) log.appendAsLeader(batch([`${i}`]), at(i));
      await log.flush();
      let left = skip % 4;
      disk.intercept = (operation) => {
        if (operation.kind !== kind || left-- > 0) return undefined;
        return { error: new DomainError('DISK_FULL', 'planted'), writtenBytes: 20 };
      };
      const outcomes: boolean[] = [];
      for (let i = 3; i < 9; i++) {
        try {
          log.appendAsLeader(batch([`${i}`]), at(i));
          await log.flush();
          outcomes.push(true);
        } catch (error) {
          assert.equal((error as DomainError).code, 'DISK_FULL');
          outcomes.push(false);
        }
      }
      disk.intercept = undefined;
      assert.equal(log.failure, undefined);
      const { endOffset } = log;
      assert.equal(endOffset, 3 + outcomes.filter(Boolean).length);
      await log.advanceStartOffset(toOffset(0));
      log.appendAsLeader(batch(['after']), at(99));
      await log.flush();
      const content = await contentOf(log);
      assert.equal(content.at(-1), `${endOffset}:after`);
      assert.deepEqual(await contentOf(await openTestLog(disk.afterPowerLoss(() => false))), content);
    }
  }
});

test('after an undone batch that replicas may hold, only a newer leader epoch may append', async () => {
  const disk = new MemoryDisk();
  const log = await openTestLog(disk);
  log.appendAsLeader(batch(['a']), at(1, 4));
  await log.flush();
  failNext(disk, 'write', '.log', 'DISK_FULL', 30);
  log.appendAsLeader(batch(['b']), at(2, 4));
  const served = await log.read({ from: toOffset(1), upTo: toOffset(2), maxBytes: 1000 });
  assert.equal(served.nextOffset, 2);
  await assert.rejects(log.flush(), code('DISK_FULL'));
  await log.advanceStartOffset(toOffset(0));
  assert.throws(() => log.appendAsLeader(batch(['other']), at(3, 4)), code('DISK_FULL'));
  log.appendAsLeader(batch(['other']), at(3, 5));
  await log.flush();
  assert.deepEqual(await contentOf(log), ['0:a', '1:other']);
  assert.deepEqual(
    log.epochs.map(({ epoch: number }) => number),
    [4, 5],
  );
});

test('a failed sync after a full disk is a failed sync', async () => {
  const disk = new MemoryDisk();
  const log = await openTestLog(disk);
  log.appendAsLeader(batch(['a']), at(1));
  await log.flush();
  let full = false;
  disk.intercept = ({ kind, path }) => {
    if (kind === 'write' && path.endsWith('.log')) {
      full = true;
      return { error: new DomainError('DISK_FULL', 'planted'), writtenBytes: 5 };
    }
    return full && kind === 'sync' && path.endsWith('.log')
      ? { error: new DomainError('DISK_FULL', 'planted') }
      : undefined;
  };
  log.appendAsLeader(batch(['b']), at(2));
  await assert.rejects(log.flush(), code('STORAGE_FAILED'));
  assert.notEqual(log.failure, undefined);
});

test('a disk that fails to read harms no write, and damage in one frame leaves the others readable', async () => {
  const disk = new MemoryDisk();
  const log = await openTestLog(disk, { indexIntervalBytes: 1 });
  for (let i = 0; i < 5; i++) log.appendAsLeader(batch([`${i}`]), at(i));
  await log.flush();
  failNext(disk, 'read', '.log', 'STORAGE_FAILED');
  await assert.rejects(readAll(log), code('STORAGE_FAILED'));
  assert.equal(log.failure, undefined);
  assert.equal((await contentOf(log)).length, 5);

  const bytes = disk.peek(`${folder}/00000000000000000000.log`)!;
  bytes[bytes.length / 2]! ^= 0x10;
  await assert.rejects(readAll(log), code('CORRUPT_LOG'));
  assert.equal((await log.read({ from: toOffset(0), upTo: toOffset(5), maxBytes: 1e6 })).nextOffset, 2);
  assert.equal((await log.read({ from: toOffset(3), upTo: toOffset(5), maxBytes: 1e6 })).nextOffset, 5);
  await assert.rejects(log.read({ from: toOffset(2), upTo: toOffset(5), maxBytes: 1e6 }), code('CORRUPT_LOG'));
  // P13: never cut because a frame cannot be read.
  await assert.rejects(log.truncateTo(toOffset(2)), code('CORRUPT_LOG'));
  assert.deepEqual([log.endOffset, log.failure], [5, undefined]);
  log.appendAsLeader(batch(['5']), at(6));
  await log.flush();
});

test('an unsafe flush policy never syncs for an append, yet closes and rolls cleanly', async () => {
  const disk = new MemoryDisk();
  const log = await openTestLog(disk, { flushPolicy: 'unsafe-os-cache', segmentBytes: 150 });
  let syncs = 0;
  disk.intercept = ({ kind, path }) => {
    if (kind === 'sync' && path.endsWith('.log')) syncs++;
    return undefined;
  };
  log.appendAsLeader(batch(['a']), at(1));
  await log.flush();
  assert.equal(syncs, 0);
  for (let i = 0; i < 5; i++) log.appendAsLeader(batch(['b']), at(1));
  await log.flush();
  assert.ok(syncs > 0, 'a segment is synced before it is sealed');
  const lost = await openTestLog(disk.clone(), {});
  assert.equal((await contentOf(lost)).length, 6);
  await log.close();
  const again = await openTestLog(disk.afterPowerLoss(() => false));
  assert.equal(again.recovery.wasClean, true);
  assert.equal((await contentOf(again)).length, 6);
});
