/** Files of a log that are cut, changed, lost or in a wrong place: found, whatever it is, and nothing is made up. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { splitFrames } from '@fleetmq/record';
import { type DomainError, tableChecksum } from '@fleetmq/shared';
import type { PartitionLog } from './index.ts';
import { contentOf, folder, openTestLog } from './testing/batches.ts';
import { append, config, opened } from './testing/crash-fixture.ts';
import { MemoryDisk } from './testing/memory-disk.ts';

test('every file cut at every byte: a torn tail is cut, everything else is corruption, what was recorded stays', async () => {
  const disk = new MemoryDisk();
  const log = await openTestLog(disk, { ...config, checkpointBytes: 3000 });
  for (let i = 0; i < 60; i++) {
    append(log, i);
    if (i % 4 === 3) await log.flush();
  }
  await log.flush();
  const whole = await contentOf(log);
  const segments = disk.paths().filter((path) => path.endsWith('.log'));
  assert.ok(segments.length > 5);
  let cuts = 0;
  for (const path of segments) {
    const bytes = disk.peek(path)!;
    for (let length = 0; length < bytes.length; length++) {
      const damaged = disk.clone();
      damaged.put(path, bytes.slice(0, length));
      const found = await opened(damaged);
      if (!('read' in found)) {
        assert.equal(found.code, 'CORRUPT_LOG');
        continue;
      }
      cuts++;
      assert.equal(path, segments.at(-1), 'only the newest segment has a tail');
      assert.ok(found.endOffset >= found.recovery.recordedEnd);
      const content = await contentOf(found);
      assert.deepEqual(content, whole.slice(0, content.length));
      assert.equal(found.endOffset, content.length);
    }
  }
  assert.ok(cuts > 50, `${cuts} cuts were torn tails`);
});

/** Everything that a log says of itself, beside its records. */
async function factsOf(log: PartitionLog) {
  const { startOffset, endOffset, durableEndOffset, epochs } = log;
  const producers = [1n, 2n, 3n].map((id) => log.producerState(id));
  const times = [0, 1003, 1007, 5000].map((timeMs) => log.offsetForTime(timeMs, endOffset));
  const exported = log.exportProducers().bytes;
  return { startOffset, endOffset, durableEndOffset, epochs, producers, exported, times: await Promise.all(times) };
}

/** A log of several segments with every kind of file; of its last segment nothing is recorded unless it was closed. */
async function smallLog(clean: boolean): Promise<{ disk: MemoryDisk; content: string[] }> {
  const disk = new MemoryDisk();
  const log = await openTestLog(disk, { ...config, segmentBytes: 400, checkpointBytes: 1e6 });
  for (let i = 0; i < 9; i++) append(log, i, 1 + Math.floor(i / 3));
  await log.flush();
  const content = await contentOf(log);
  if (clean) await log.close();
  return { disk, content };
}

for (const clean of [true, false]) {
  test(`every byte of every file flipped (${clean ? 'clean' : 'unclean'} log): never a wrong record, nothing lost in silence`, async () => {
    const { disk, content } = await smallLog(clean);
    const facts = await factsOf(await openTestLog(disk.clone(), config));
    const lastLog = disk
      .paths()
      .filter((path) => path.endsWith('.log'))
      .at(-1);
    let torn = 0;
    for (const path of disk.paths()) {
      const bytes = disk.peek(path)!;
      for (let at = 0; at < bytes.length; at++) {
        const damaged = disk.clone();
        const changed = bytes.slice();
        changed[at]! ^= at % 2 === 0 ? 0xff : 1 << (at % 8);
        damaged.put(path, changed);
        const found = await opened(damaged);
        const label = `${path} byte ${at}`;
        if (!('read' in found)) {
          assert.equal(found.code, 'CORRUPT_LOG', label);
          continue;
        }
        const read = await contentOf(found).catch((error: DomainError) => error);
        if (!Array.isArray(read)) {
          assert.equal(read.code, 'CORRUPT_LOG', label);
          continue;
        }
        // A damaged last frame above the recovery point cannot be told from a torn one.
        if (!clean && path === lastLog && read.length < content.length) {
          torn++;
          assert.ok(read.length >= content.length - 2, label);
          assert.deepEqual(read, content.slice(0, read.length), label);
          continue;
        }
        // Harmless: a file that can be computed from the others.
        assert.deepEqual(read, content, label);
        assert.deepEqual(await factsOf(found), facts, label);
      }
    }
    assert.equal(torn > 0, !clean);
  });
}

test('files that are missing or swapped are found', async () => {
  const { disk, content } = await smallLog(true);
  const paths = disk.paths();
  const logs = paths.filter((path) => path.endsWith('.log'));
  for (const path of logs) {
    const damaged = disk.clone();
    await damaged.remove(path);
    const found = await opened(damaged);
    assert.equal('code' in found ? found.code : '', 'CORRUPT_LOG', path);
  }
  const swapped = disk.clone();
  swapped.put(logs[0]!, disk.peek(logs[1]!)!);
  const found = await opened(swapped);
  assert.equal('code' in found ? found.code : await contentOf(found).catch((e: DomainError) => e.code), 'CORRUPT_LOG');
  for (const path of paths.filter((p) => !p.endsWith('.log') && !p.endsWith('checkpoint'))) {
    const without = disk.clone();
    await without.remove(path);
    const log = await openTestLog(without, config);
    assert.deepEqual(await contentOf(log), content, path);
    assert.equal(log.epochs.length, 3);
    assert.notEqual(log.producerState(1n), undefined);
  }
  const bare = disk.clone();
  await bare.remove(`${folder}/checkpoint`);
  const refused = await opened(bare);
  assert.equal('code' in refused ? refused.code : '', 'CORRUPT_LOG');
});

test('a torn tail is gone for good: what is appended over it never uncovers old frames', async () => {
  const disk = new MemoryDisk();
  const log = await openTestLog(disk, { segmentBytes: 1e6 });
  const path = `${folder}/00000000000000000000.log`;
  for (let i = 0; i < 20; i++) append(log, i);
  await log.flush();
  const frames = disk.peek(path)!;
  for (let at = 0; at < frames.length - 200; at += 37) {
    const torn = disk.clone();
    // The first of two lost sectors tears the frame at `at`; whole frames follow behind them.
    torn.put(
      path,
      Uint8Array.from(frames, (byte, i) => (i >= at && i < at + 1024 ? 0 : byte)),
    );
    const again = await openTestLog(torn);
    append(again, 1000, 9);
    await again.flush();
    const content = await contentOf(again);
    const next = await openTestLog(torn.afterPowerLoss(() => false));
    assert.equal(next.recovery.cutBytes, 0);
    assert.deepEqual(await contentOf(next), content);
  }
});

test('a whole frame in a wrong place is found, by recovery and by reads', async () => {
  const { disk, content } = await smallLog(false);
  const path = disk.paths().filter((name) => name.endsWith('.log'))[0]!;
  const frames = splitFrames(disk.peek(path)!, tableChecksum);
  const moved = disk.clone();
  moved.put(path, Uint8Array.from([...frames[0]!, ...frames[0]!, ...frames.slice(2).flatMap((frame) => [...frame])]));
  const found = await opened(moved);
  assert.equal('code' in found ? found.code : '', 'CORRUPT_LOG');

  const live = disk.clone();
  const log = await openTestLog(live);
  assert.deepEqual(await contentOf(log), content);
  live.peek(path)!.set(frames[0]!.subarray(0, frames[1]!.length), frames[0]!.length);
  await assert.rejects(contentOf(log), { code: 'CORRUPT_LOG' });
});
