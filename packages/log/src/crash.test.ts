/** A log whose power is lost, at every operation of its disk. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DomainError, type Offset, seededRandom, toOffset } from '@fleetmq/shared';
import type { PartitionLog } from './index.ts';
import { contentOf, openTestLog } from './testing/batches.ts';
import { append, config, opened } from './testing/crash-fixture.ts';
import { MemoryDisk, type Survives } from './testing/memory-disk.ts';

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
async function rehearse(hasDurableWrites: boolean): Promise<{ states: Model[]; operations: number }> {
  let operations = 0;
  const disk = new MemoryDisk({
    hasDurableWrites,
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
async function crashAt(operation: number, part: number, hasDurableWrites: boolean): Promise<CrashRun> {
  let operations = 0;
  const disk: MemoryDisk = new MemoryDisk({
    hasDurableWrites,
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

for (const hasDurableWrites of [false, true]) {
  const kind = hasDurableWrites ? ' of a disk with durable writes' : '';
  test(`power lost at every operation${kind}, any subset of what was unsynced kept: the log is whole up to its durable end`, async () => {
    const { states, operations } = await rehearse(hasDurableWrites);
    assert.ok(operations > 150, `${operations} operations`);
    let tails = 0;
    for (let operation = 1; operation <= operations; operation++) {
      const crash = await crashAt(operation, (operation % 5) / 4, hasDurableWrites);
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
}

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
