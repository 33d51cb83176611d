/** A compaction that loses its power, is killed, or meets a full or failing disk, at every operation: the log is as before or as after. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DomainError, seededRandom } from '@fleetmq/shared';
import type { LogConfig, PartitionLog } from './index.ts';
import { epoch, folder, openTestLog, readAll } from './testing/batches.ts';
import { compact, keyedBatch, recordsIn } from './testing/keyed.fuzz.ts';
import { MemoryDisk } from './testing/memory-disk.ts';

const config: Partial<LogConfig> = {
  segmentBytes: 700,
  retentionMs: -1,
  indexIntervalBytes: 100,
  idempotencyWindowMs: 0,
};
const request = { nowMs: 50_000, deleteRetentionMs: 10, dirtyRatioMin: 0 };

function fill(log: PartitionLog, from: number, count: number): void {
  for (let i = from; i < from + count; i++) {
    const texts = [i % 5 === 4 ? `k${i % 3}=` : `k${i % 3}=v${i}`, `once${i % 11}=${i}`];
    const producer = { producerId: BigInt(1 + (i % 4)), baseSequence: 2 * Math.floor(i / 4) };
    log.appendAsLeader(keyedBatch(texts, producer), {
      leaderEpoch: epoch(1 + Math.floor(i / 12)),
      appendTimeMs: 1000 + i,
    });
  }
}

/** A log that was compacted, has grown, and is to be compacted again: then several small segments become one. */
async function grownLog(): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  const log = await openTestLog(disk, config);
  fill(log, 0, 30);
  await log.flush();
  await compact(log, { ...request, nowMs: 40_000 });
  fill(log, 30, 20);
  await log.flush();
  return disk.clone();
}

interface View {
  readonly offsets: readonly number[];
  readonly texts: ReadonlyMap<number, string>;
  readonly facts: unknown;
}

async function viewOf(log: PartitionLog): Promise<View> {
  const records = recordsIn(await readAll(log));
  const lasts = [1n, 2n, 3n, 4n].map((id) => log.producerState(id)?.batches.at(-1));
  return {
    offsets: records.map(({ offset }) => offset),
    texts: new Map(records.map(({ offset, text }) => [offset, text])),
    facts: { start: log.startOffset, end: log.endOffset, epochs: log.epochs, lasts },
  };
}

/** Between before and after: nothing that stays is missing, nothing is there that was gone, nothing has changed. */
function checkBetween(found: View, before: View, after: View, label: string): void {
  assert.deepEqual(found.facts, before.facts, label);
  for (const [offset, text] of found.texts) assert.equal(text, before.texts.get(offset), `${label}, offset ${offset}`);
  for (const offset of after.offsets) assert.ok(found.texts.has(offset), `${label}, offset ${offset} is missing`);
}

type Ending = 'power' | 'full' | 'failing';

/** Compacts until operation `stopAt`; returns whether it came to its end, and the log, which may be dead. */
async function compactUntil(disk: MemoryDisk, stopAt: number, ending: Ending, part: number) {
  let operations = 0;
  const log = await openTestLog(disk, config);
  disk.intercept = ({ kind, bytes, path }) => {
    if (path.endsWith('swap~')) swaps++;
    if (++operations < stopAt) return undefined;
    if (ending === 'power') disk.powerOff();
    const isFull = ending === 'full' && (kind === 'write' || kind === 'open');
    if (ending === 'full' && !isFull) return undefined;
    const error = new DomainError(isFull ? 'DISK_FULL' : 'STORAGE_FAILED', 'as the test wants');
    return { error, writtenBytes: Math.floor(bytes * part) };
  };
  const isDone = await compact(log, request).then(
    () => true,
    (error) => {
      assert.ok(error instanceof DomainError, String(error));
      return false;
    },
  );
  disk.intercept = undefined;
  return { isDone, log };
}

let swaps = 0;

async function viewsAround(): Promise<{ disk: MemoryDisk; before: View; after: View }> {
  const disk = await grownLog();
  const before = await viewOf(await openTestLog(disk.clone(), config));
  const { log, isDone } = await compactUntil(disk.clone(), Number.POSITIVE_INFINITY, 'power', 0);
  assert.ok(isDone);
  const after = await viewOf(log);
  assert.ok(after.offsets.length < before.offsets.length - 10);
  assert.ok(swaps > 0, 'several segments became one');
  return { disk, before, after };
}

async function checkNextLife(disk: MemoryDisk, around: { before: View; after: View }, label: string): Promise<void> {
  const found = await openTestLog(disk, config);
  checkBetween(await viewOf(found), around.before, around.after, label);
  assert.deepEqual(
    disk.paths().filter((path) => /cleaned|swap$/.test(path)),
    [],
    label,
  );
  await compact(found, request);
  checkBetween(await viewOf(found), around.after, around.after, `${label}, compacted again`);
  found.appendAsLeader(keyedBatch(['new=1']), { leaderEpoch: epoch(90), appendTimeMs: 60_000 });
  await found.flush();
  const again = await openTestLog(
    disk.afterPowerLoss(() => false),
    config,
  );
  assert.equal(again.endOffset, found.endOffset, label);
  await readAll(again);
}

test('the power lost at every operation of a compaction, any subset of what was unsynced kept', async () => {
  const { disk, before, after } = await viewsAround();
  let operations = 0;
  for (let isDone = false; !isDone; ) {
    const choices = [() => false, () => true, undefined, 'killed'] as const;
    for (const [i, choice] of choices.entries()) {
      const crashed = disk.clone();
      const stopAt = operations + 1;
      ({ isDone } = await compactUntil(crashed, stopAt, 'power', (stopAt % 5) / 4));
      const random = seededRandom(stopAt);
      const keep = typeof choice === 'function' ? choice : () => random.next() < 0.5;
      const next = choice === 'killed' ? crashed.afterKill() : crashed.afterPowerLoss(keep);
      await checkNextLife(next, { before, after }, `operation ${stopAt}, choice ${i}`);
    }
    operations++;
  }
  assert.ok(operations > 60, `${operations} operations`);
});

test('a disk that is full at any write: the log lives on, and compacts when there is room', async () => {
  const { disk, before, after } = await viewsAround();
  for (let stopAt = 1, isDone = false; !isDone; stopAt++) {
    const full = disk.clone();
    const label = `full from operation ${stopAt}`;
    const compacted = await compactUntil(full, stopAt, 'full', 0.5);
    ({ isDone } = compacted);
    const { log } = compacted;
    assert.equal(log.failure, undefined, label);
    checkBetween(await viewOf(log), before, after, label);
    await checkNextLife(full.clone(), { before, after }, label);
    const end = log.endOffset;
    log.appendAsLeader(keyedBatch(['after=1']), { leaderEpoch: epoch(80), appendTimeMs: 55_000 });
    await log.truncateTo(end);
    await log.close();
  }
});

test('a disk that fails from any operation on: whatever that did to the log, the next life has it all', async () => {
  const { disk, before, after } = await viewsAround();
  for (let stopAt = 1, isDone = false; !isDone; stopAt++) {
    const failing = disk.clone();
    ({ isDone } = await compactUntil(failing, stopAt, 'failing', 0.3));
    await checkNextLife(failing.afterKill(), { before, after }, `failing from operation ${stopAt}`);
  }
});

test('the note of a swap that cannot be read is corruption: which segments count is not known', async () => {
  const disk = await grownLog();
  disk.put(`${folder}/swap`, Uint8Array.of(1, 2, 3));
  await assert.rejects(openTestLog(disk, config), { code: 'CORRUPT_LOG' });
});
