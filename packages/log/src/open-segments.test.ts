import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toOffset } from '@fleetmq/shared';
import { OpenSegments } from './open-segments.ts';
import { batch, epoch, openTestLog, recordsOf } from './testing/batches.ts';
import { MemoryDisk } from './testing/memory-disk.ts';

test('logs that share a bound read all of their segments, and hold no more of them than it allows', async () => {
  const openSegments = new OpenSegments(3);
  const config = { segmentBytes: 300, indexIntervalBytes: 64, retentionMs: -1 };
  const logs = await Promise.all([1, 2, 3].map(() => openTestLog(new MemoryDisk(), config, { openSegments })));
  for (const log of logs) {
    for (let i = 0; i < 20; i++) {
      log.appendAsLeader(batch([`value ${i}`]), { leaderEpoch: epoch(1), appendTimeMs: i });
    }
    await log.flush();
  }
  for (let from = 0; from < 20; from++) {
    for (const log of logs) {
      const { bytes } = await log.read({ from: toOffset(from), upTo: toOffset(20), maxBytes: 1 });
      assert.deepEqual(recordsOf(bytes), [`${from}:value ${from}`]);
      assert.ok(openSegments.size <= 3, `${openSegments.size} are held`);
    }
  }
  for (const log of logs) await log.close();
  assert.equal(openSegments.size, 0);
});
