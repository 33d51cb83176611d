/**
 * A script of 200 operations on one log, and the file that grows cut at every byte of every write, as a crash leaves it: the
 * next life has exactly the whole frames, all that was acknowledged among them, with their producers, keys and epochs.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FrameCursor, type ValidatedBatch } from '@fleetmq/record';
import { seededRandom, toOffset } from '@fleetmq/shared';
import type { PartitionLog } from './index.ts';
import { batch, contentOf, epoch, openTestLog } from './testing/batches.ts';
import { opened } from './testing/crash-fixture.ts';
import { MemoryDisk } from './testing/memory-disk.ts';

const config = { segmentBytes: 900, checkpointBytes: 700, indexIntervalBytes: 200, retentionMs: -1 };
const operations = 200;
const producers = [1n, 2n, 3n] as const;
/** Of these kinds a script has so many at least. */
const wanted = { append: 120, truncate: 6, epoch: 6, deleteRecords: 4, retention: 4, flush: 10 };

interface Appended {
  readonly base: number;
  readonly end: number;
  readonly batch: ValidatedBatch;
  readonly leaderEpoch: number;
  readonly texts: readonly string[];
}

/** What the script has put into the log, as it is at this moment. */
class Script {
  readonly random = seededRandom(20);
  readonly counts: Record<keyof typeof wanted, number> = {
    append: 0,
    truncate: 0,
    epoch: 0,
    deleteRecords: 0,
    retention: 0,
    flush: 0,
  };
  /** In order, those that were deleted from the front included. */
  appended: Appended[] = [];
  leaderEpoch = 1;
  #number = 0;

  /** One operation, chosen by chance. */
  async run(log: PartitionLog): Promise<void> {
    const choice = this.random.next();
    if (choice < 0.72) return this.#append(log);
    if (choice < 0.8) return this.#flush(log);
    if (choice < 0.86) return this.#truncate(log);
    if (choice < 0.92) return this.#nextEpoch();
    await log.flush();
    const committed = toOffset(
      log.startOffset + Math.floor((log.endOffset - log.startOffset) * this.random.next() * 0.5),
    );
    if (choice < 0.96) {
      this.counts.deleteRecords++;
      return log.advanceStartOffset(committed);
    }
    this.counts.retention++;
    log.configure({ retentionBytes: 1500 });
    await log.applyRetention({ nowMs: 1e6, highWatermark: committed });
  }

  #append(log: PartitionLog): void {
    this.counts.append++;
    const number = this.#number++;
    const texts = Array.from({ length: 1 + (number % 3) }, (_, i) => `${number}/${i}`);
    const made = batch(texts, { ...this.#identity(log, number) });
    const outcome = log.appendAsLeader(made, { leaderEpoch: epoch(this.leaderEpoch), appendTimeMs: 1000 + number });
    assert.equal(outcome.kind, 'appended');
    const { baseOffset: base, endOffset: end } = outcome;
    this.appended.push({ base, end, batch: made, leaderEpoch: this.leaderEpoch, texts });
  }

  /** Of a producer with sequences, of a caller with a key, or of nobody. */
  #identity(log: PartitionLog, number: number) {
    if (number % 5 === 3) return { idempotencyKey: `key-${number}` };
    if (number % 5 === 4) return {};
    const producerId = producers[number % producers.length]!;
    const last = log.producerState(producerId)?.batches.at(-1);
    return { producerId, baseSequence: last === undefined ? 0 : last.baseSequence + last.recordCount };
  }

  async #flush(log: PartitionLog): Promise<void> {
    this.counts.flush++;
    await log.flush();
  }

  async #truncate(log: PartitionLog): Promise<void> {
    this.counts.truncate++;
    const above = this.appended.filter(({ base }) => base > log.startOffset);
    const cut = above[Math.floor(above.length * (0.5 + this.random.next() / 2))];
    if (cut === undefined) return;
    await log.flush();
    await log.truncateTo(toOffset(cut.base));
    this.appended = this.appended.filter(({ base }) => base < cut.base);
    this.leaderEpoch++;
  }

  #nextEpoch(): void {
    this.counts.epoch++;
    this.leaderEpoch++;
  }
}

/** What was known at the moment of one write. */
interface Moment {
  readonly disk: MemoryDisk;
  readonly path: string;
  readonly bytes: number;
  readonly appended: readonly Appended[];
  readonly start: number;
  readonly durable: number;
}

/** Runs the script; then tells of each write to a segment: what was before it, and the segment as it was after it. */
async function runScript(onWrite: (moment: Moment, after: Uint8Array) => Promise<void>): Promise<Script> {
  const script = new Script();
  const writes: { readonly moment: Moment; after: Uint8Array }[] = [];
  let writing: Moment | undefined;
  let log: PartitionLog | undefined;
  const written = (): void => {
    if (writing !== undefined) writes.push({ moment: writing, after: disk.peek(writing.path) ?? new Uint8Array(0) });
    writing = undefined;
  };
  const disk: MemoryDisk = new MemoryDisk({
    intercept: ({ kind, path, bytes }) => {
      written();
      if (kind !== 'write' || !path.endsWith('.log') || log === undefined) return undefined;
      const { startOffset: start, durableEndOffset: durable } = log;
      writing = { disk: disk.clone(), path, bytes, appended: [...script.appended], start, durable };
      return undefined;
    },
  });
  log = await openTestLog(disk, config);
  for (let i = 0; i < operations; i++) {
    await script.run(log);
    if (i % 7 === 6) await log.flush();
  }
  await log.flush();
  for (const { moment, after } of writes) await onWrite(moment, after);
  return script;
}

/** The offset after the last whole frame of `bytes`; undefined when there is none. */
function endOf(bytes: Uint8Array): number | undefined {
  const cursor = new FrameCursor(bytes);
  let end: number | undefined;
  while (cursor.next() === 'frame') end = cursor.trailer.endOffset;
  return end;
}

test('a script of 200 operations, cut at every byte of every write', async () => {
  let cuts = 0;
  const script = await runScript(async (moment, after) => {
    const before = moment.disk.peek(moment.path)!.length;
    for (let length = before; length < before + moment.bytes; length++, cuts++) {
      const bytes = after.slice(0, length);
      const disk = moment.disk.clone();
      disk.put(moment.path, bytes);
      await checkNextLife(disk, moment, endOf(bytes) ?? moment.durable, `${moment.path} cut at byte ${length}`);
    }
  });
  for (const [kind, least] of Object.entries(wanted)) {
    const count = script.counts[kind as keyof typeof wanted];
    assert.ok(count >= least, `${count} of ${kind}`);
  }
  assert.ok(cuts > 10_000, `${cuts} cuts`);
});

/** Everything that the log has to say of its content, which ends at `end`. */
async function checkNextLife(disk: MemoryDisk, moment: Moment, end: number, label: string): Promise<void> {
  const found = await opened(disk, config);
  assert.ok('read' in found, `${label}: ${String(found)}`);
  assert.ok(end >= moment.durable, label);
  assert.equal(found.endOffset, end, label);
  assert.equal(found.startOffset, moment.start, label);
  const kept = moment.appended.filter(({ base }) => base < end);
  const served = kept.filter(({ end: after }) => after > moment.start);
  const expected = served.flatMap(({ base, texts }) => texts.map((text, i) => `${base + i}:${text}`));
  assert.deepEqual(await contentOf(found), expected, label);
  assert.equal(found.lastEpoch, kept.at(-1)?.leaderEpoch ?? 0, label);
  checkIdentities(found, kept, label);
}

function checkIdentities(found: PartitionLog, kept: readonly Appended[], label: string): void {
  for (const id of producers) {
    const expected = kept.filter(({ batch: { producerId } }) => producerId === id).slice(-5);
    const batches = found.producerState(id)?.batches ?? [];
    assert.deepEqual(
      batches.map(({ baseOffset, baseSequence }) => [baseOffset, baseSequence]),
      expected.map(({ base, batch: { baseSequence } }) => [base, baseSequence]),
      `${label}: producer ${id}`,
    );
  }
  const keyed = kept.filter(({ batch: { idempotencyKey } }) => idempotencyKey !== '').slice(-3);
  for (const { base, batch: repeated } of keyed) {
    const outcome = found.appendAsLeader(repeated, { leaderEpoch: epoch(1000), appendTimeMs: 2000 });
    assert.deepEqual([outcome.kind, outcome.baseOffset], ['duplicate', base], `${label}: ${repeated.idempotencyKey}`);
  }
}
