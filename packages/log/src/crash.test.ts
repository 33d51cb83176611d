import assert from 'node:assert/strict';
import { test } from 'node:test';
import { splitFrames, type ValidatedBatch } from '@fleetmq/record';
import { DomainError, type Offset, seededRandom, tableChecksum, toOffset } from '@fleetmq/shared';
import type { LogConfig, PartitionLog } from './index.ts';
import { batch, contentOf, epoch, folder, openTestLog } from './testing/batches.ts';
import { MemoryDisk, type Survives } from './testing/memory-disk.ts';

const config: Partial<LogConfig> = {
  segmentBytes: 700,
  checkpointBytes: 900,
  indexIntervalBytes: 150,
  retentionMs: -1,
};

const batches = new Map<number, ValidatedBatch>();

/** One or two records whose values say where they were meant to be. Batches never change, so each is made once. */
function batchOf(number: number): ValidatedBatch {
  const values = Array.from({ length: 1 + (number % 2) }, (_, i) => `${number}/${i}${'.'.repeat((number * 7) % 40)}`);
  const producer = { producerId: BigInt(1 + (number % 3)), producerEpoch: number, idempotencyKey: `key-${number}` };
  const made = batches.get(number) ?? batch(values, producer);
  batches.set(number, made);
  return made;
}

function append(log: PartitionLog, number: number, leaderEpoch = 1): void {
  log.appendAsLeader(batchOf(number), { leaderEpoch: epoch(leaderEpoch), appendTimeMs: 1000 + number });
}

async function opened(disk: MemoryDisk, settings = config): Promise<PartitionLog | DomainError> {
  try {
    return await openTestLog(disk, settings);
  } catch (error) {
    assert.equal((error as DomainError).name, 'DomainError', String(error));
    return error as DomainError;
  }
}

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

/** What a log holds: `records` begin at offset `base`; below `start` nothing is served. */
interface Model {
  readonly start: number;
  readonly base: number;
  readonly records: readonly string[];
}

interface Step {
  readonly name: string;
  run(log: PartitionLog): Promise<void>;
}

/** A script of appends, rolls, and every change a log knows. */
function script(): Step[] {
  const steps: Step[] = [];
  let number = 0;
  const appends = (count: number, leaderEpoch: number): void => {
    for (let i = 0; i < count; i++) {
      const mine = number++;
      steps.push({
        name: `append ${mine}`,
        run: async (log) => {
          append(log, mine, leaderEpoch);
          if (mine % 3 === 2) await log.flush();
        },
      });
    }
  };
  const change = (name: string, run: (log: PartitionLog) => Promise<unknown>): void => {
    steps.push({
      name,
      run: async (log) => {
        await log.flush();
        await run(log);
      },
    });
  };
  appends(14, 1);
  change('truncate to 12', (log) => log.truncateTo(toOffset(12)));
  appends(10, 2);
  change('delete below 9', (log) => log.advanceStartOffset(toOffset(9)));
  appends(6, 3);
  change('truncate to 20', (log) => log.truncateTo(toOffset(20)));
  appends(5, 5);
  change('retention', async (log) => {
    log.configure({ retentionBytes: 800 });
    await log.applyRetention({ nowMs: 5000, highWatermark: log.endOffset });
  });
  appends(4, 5);
  change('reset to 100', (log) => log.resetTo(toOffset(100)));
  appends(9, 6);
  change('close', (log) => log.close());
  return steps;
}

async function modelOf(log: PartitionLog): Promise<Model> {
  const start = log.startOffset;
  const { bytes, baseOffset } = await log.read({ from: start, upTo: log.endOffset, maxBytes: 1 });
  return { start, base: bytes.length === 0 ? start : baseOffset, records: await contentOf(log) };
}

/** The states that the script goes through, one more than steps, and how many disk operations it takes. */
async function rehearse(): Promise<{ states: Model[]; operations: number }> {
  let operations = 0;
  const disk = new MemoryDisk({
    intercept: () => {
      operations++;
      return undefined;
    },
  });
  const log = await openTestLog(disk, config);
  const states: Model[] = [await modelOf(log)];
  for (const step of script()) {
    await step.run(log);
    states.push(step.name === 'close' ? states.at(-1)! : await modelOf(log));
  }
  return { states, operations };
}

interface CrashRun {
  readonly disk: MemoryDisk;
  /** Index of the step that did not end. */
  readonly step: number;
  readonly durable: number;
}

/** Runs the script until the power goes at operation `operation`; a write under way has written `part` of its bytes. */
async function crashAt(operation: number, part: number): Promise<CrashRun> {
  let operations = 0;
  const disk: MemoryDisk = new MemoryDisk({
    intercept: ({ bytes }) => {
      if (++operations < operation) return undefined;
      disk.powerOff();
      return { error: new DomainError('STORAGE_FAILED', 'the power goes'), writtenBytes: Math.floor(bytes * part) };
    },
  });
  let step = 0;
  let durable: Offset = toOffset(0);
  let log: PartitionLog | undefined;
  try {
    log = await openTestLog(disk, config, {
      onDurable: (end) => {
        durable = end;
      },
    });
    for (const { run } of script()) {
      await run(log);
      durable = log.durableEndOffset;
      step++;
    }
  } catch {
    // The power is off: nothing that is said now counts.
  }
  return { disk, step, durable: log?.failure === undefined ? durable : Math.min(durable, log.durableEndOffset) };
}

test('power lost at every operation, any subset of what was unsynced kept: the log is whole up to its durable end', async () => {
  const { states, operations } = await rehearse();
  assert.ok(operations > 150, `${operations} operations`);
  let tails = 0;
  for (let operation = 1; operation <= operations; operation++) {
    const crash = await crashAt(operation, (operation % 5) / 4);
    for (let choice = 0; choice < 3; choice++) {
      const random = seededRandom(operation * 16 + choice);
      const keep = choice === 0 ? () => false : choice === 1 ? () => true : () => random.next() < 0.6;
      const label = `operation ${operation}, choice ${choice}, step ${crash.step}`;
      tails += await checkNextLife(crash.disk.afterPowerLoss(keep), states, crash, { label, keep });
    }
    const label = `operation ${operation}, killed, step ${crash.step}`;
    await checkNextLife(crash.disk.afterKill(), states, crash, { label, keep: () => false });
  }
  assert.ok(tails > 20, `${tails} torn tails were cut`);
});

/** Opens the log after a crash, checks it, appends to it, and loses the power again. Returns 1 when a torn tail was cut. */
async function checkNextLife(
  disk: MemoryDisk,
  states: readonly Model[],
  crash: CrashRun,
  run: { readonly label: string; readonly keep: Survives },
): Promise<number> {
  const found = await opened(disk);
  assert.ok('read' in found, `${run.label}: ${String(found)}`);
  const content = await contentOf(found);
  checkContent(
    found,
    content,
    { before: states[crash.step]!, after: states[crash.step + 1] ?? states[crash.step]! },
    crash,
    run.label,
  );
  checkState(found, content, run.label);

  // Everything that this life has found is durable now.
  const nextDisk = disk.afterKill().afterPowerLoss(run.keep);
  const second = await opened(nextDisk);
  assert.ok('read' in second, `${run.label}, again: ${String(second)}`);
  assert.deepEqual(await contentOf(second), content, run.label);
  append(second, 1000, 50);
  await second.flush();
  const grown = await contentOf(second);
  assert.deepEqual(grown.slice(0, content.length), content, run.label);
  assert.equal(grown.length, content.length + 1, run.label);
  await second.close();
  const stored = nextDisk.paths().filter((path) => path.endsWith('.log'));
  assert.equal(
    stored.reduce((total, path) => total + nextDisk.peek(path)!.length, 0),
    second.sizeBytes,
    run.label,
  );
  return found.recovery.cutBytes > 0 ? 1 : 0;
}

function checkContent(
  found: PartitionLog,
  content: readonly string[],
  states: { readonly before: Model; readonly after: Model },
  crash: CrashRun,
  label: string,
): void {
  const { before, after } = states;
  const fits = [before, after].some(({ start, records }) => {
    return found.startOffset === start && content.every((record, i) => record === records[i]);
  });
  const mixed = found.startOffset === after.start && isSuffixPrefix(content, before.records);
  assert.ok(fits || mixed, `${label}: start ${found.startOffset}, ${content.join(' ')}`);
  const least = Math.min(crash.durable, endOf(before), endOf(after));
  assert.ok(
    found.endOffset >= Math.max(least, found.startOffset),
    `${label}: ends at ${found.endOffset}, durable was ${least}`,
  );
}

/** Epochs and producers are what the records say. */
function checkState(found: PartitionLog, content: readonly string[], label: string): void {
  for (const [producerId, offset] of lastOffsets(content)) {
    assert.equal(
      found.producerState(producerId)?.batches.at(-1)?.baseOffset,
      offset,
      `${label}: producer ${producerId}`,
    );
  }
  const starts = found.epochs.map(({ startOffset }) => startOffset);
  assert.ok(content.length === 0 || starts.length > 0, `${label}: epochs ${starts}`);
  assert.ok(
    starts.every((start, i) => start < found.endOffset && (i === 0 || start > starts[i - 1]!)),
    label,
  );
}

/** Per producer id the base offset of its last whole batch, from the texts of the records. */
function lastOffsets(content: readonly string[]): Map<bigint, number> {
  const offsets = new Map<bigint, number>();
  for (const record of content) {
    const [, offset, number, index] = /^(\d+):(\d+)\/(\d)/.exec(record)!.map(Number);
    if (index === 0) offsets.set(BigInt(1 + (number! % 3)), offset!);
  }
  return offsets;
}

/** After a deletion the records may begin later than in the state before it. */
function isSuffixPrefix(content: readonly string[], records: readonly string[]): boolean {
  const from = content.length === 0 ? 0 : records.indexOf(content[0]!);
  return from >= 0 && content.every((record, i) => record === records[from + i]);
}

function endOf(model: Model): number {
  const last = model.records.at(-1);
  return last === undefined ? model.start : Number(last.split(':')[0]) + 1;
}

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
        assert.deepEqual(read, content, label);
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
