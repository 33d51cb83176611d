/** Memory that is lent to a log, and by a log: never used after it was given back (every buffer that comes back is overwritten). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BatchBuilder, defaultBatchLimits, validateProduced } from '@fleetmq/record';
import {
  BufferPool,
  DomainError,
  type Lease,
  poisonByte,
  seededRandom,
  tableChecksum,
  toOffset,
} from '@fleetmq/shared';
import type { PartitionLog } from './index.ts';
import { epoch, folder, openTestLog, recordsOf } from './testing/batches.ts';
import { MemoryDisk } from './testing/memory-disk.ts';

const settings = { segmentBytes: 300_000, checkpointBytes: 200_000 };
const textOf = (i: number): string => `${i}/`.padEnd(40_000, String.fromCharCode(97 + (i % 26)));

/** Appends a batch that lies in lent memory, and lets go of it at once. */
function append(log: PartitionLog, pool: BufferPool, i: number): Lease {
  const builder = new BatchBuilder();
  builder.append(undefined, new TextEncoder().encode(textOf(i)));
  const { bytes } = builder.build({}, tableChecksum);
  const lease = pool.take(bytes.length)!;
  lease.bytes.set(bytes);
  log.appendAsLeader(
    validateProduced(lease.bytes, defaultBatchLimits, tableChecksum),
    { leaderEpoch: epoch(1), appendTimeMs: 1000 + i },
    lease,
  );
  lease.release();
  return lease;
}

async function check(log: PartitionLog, count: number): Promise<void> {
  for (let from = toOffset(0); from < count; ) {
    const { bytes, nextOffset, lease } = await log.read({ from, upTo: toOffset(count), maxBytes: 100_000 });
    for (const record of recordsOf(bytes)) {
      const offset = Number.parseInt(record, 10);
      assert.equal(record, `${offset}:${textOf(offset)}`);
    }
    lease?.release();
    from = nextOffset;
  }
}

test('appends, reads of what is not durable yet, and what a follower is sent', async () => {
  const pool = new BufferPool({ poison: true });
  const disk = new MemoryDisk();
  const leader = await openTestLog(disk, settings, { buffers: pool });
  const follower = await openTestLog(new MemoryDisk(), settings, { buffers: pool });
  const random = seededRandom(5);
  for (let i = 0; i < 60; i++) {
    append(leader, pool, i);
    if (random.next() < 0.4) await leader.flush();
    if (random.next() < 0.5) continue;
    const { bytes, lease } = await leader.read({ from: follower.endOffset, upTo: leader.endOffset, maxBytes: 200_000 });
    follower.appendAsFollower(bytes, lease);
    lease?.release();
  }
  await leader.flush();
  await follower.flush();
  await check(leader, 60);
  await check(follower, follower.endOffset);
  await check(
    await openTestLog(
      disk.afterPowerLoss(() => false),
      settings,
    ),
    60,
  );
});

test("a batch is the log's until it is durable, an answer the reader's until it lets go", async () => {
  const pool = new BufferPool({ poison: true });
  const log = await openTestLog(new MemoryDisk(), settings, { buffers: pool });
  const appended = append(log, pool, 0);
  assert.notEqual(appended.bytes.at(-1), poisonByte);
  await log.flush();
  assert.ok(appended.bytes.every((byte) => byte === poisonByte));
  const { bytes, lease } = await log.read({ from: toOffset(0), upTo: toOffset(1), maxBytes: 100_000 });
  assert.equal(recordsOf(bytes)[0], `0:${textOf(0)}`);
  lease?.release();
  assert.ok(bytes.every((byte) => byte === poisonByte));
});

test('after a full disk and a failing one: what was queued is dropped, and its memory not given back under a write', async () => {
  for (const code of ['DISK_FULL', 'STORAGE_FAILED'] as const) {
    const pool = new BufferPool({ poison: true });
    const disk = new MemoryDisk();
    const log = await openTestLog(disk, settings, { buffers: pool });
    for (let i = 0; i < 10; i++) append(log, pool, i);
    await log.flush();
    disk.intercept = ({ kind, path, bytes }) =>
      kind === 'write' && path.startsWith(folder)
        ? { error: new DomainError(code, 'as the test wants'), writtenBytes: bytes >> 1 }
        : undefined;
    for (let i = 10; i < 15; i++) append(log, pool, i);
    await assert.rejects(log.flush(), { code });
    disk.intercept = undefined;
    await check(log, 10);
    await check(await openTestLog(disk.afterKill(), settings), 10);
  }
});
