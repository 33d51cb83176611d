import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readBatchHeader, splitFrames } from '@fleetmq/record';
import { tableChecksum, toOffset } from '@fleetmq/shared';
import fc from 'fast-check';
import type { PartitionLog } from './index.ts';
import { OpenSegments } from './open-segments.ts';
import { SparseIndex } from './sparse-index.ts';
import { batch, contentOf, epoch, folder, openTestLog, recordsOf } from './testing/batches.ts';
import { MemoryDisk } from './testing/memory-disk.ts';

/** The slow, plain log that the real one is compared with. */
class ModelLog {
  start = 0;
  end = 0;
  epochs: { epoch: number; start: number }[] = [];
  frames: { base: number; end: number; epoch: number; records: string[]; timeMs: number }[] = [];

  append(values: readonly string[], leaderEpoch: number, timeMs: number): void {
    const records = values.map((value, i) => `${this.end + i}:${value}`);
    if (this.epochs.at(-1)?.epoch !== leaderEpoch) this.epochs.push({ epoch: leaderEpoch, start: this.end });
    this.frames.push({ base: this.end, end: this.end + values.length, epoch: leaderEpoch, records, timeMs });
    this.end += values.length;
  }

  truncate(offset: number): void {
    if (offset >= this.end) return;
    const kept = this.frames.filter((frame) => frame.end <= offset);
    const border = kept.at(-1)?.end ?? this.frames[0]?.base ?? this.end;
    if (border < this.start) {
      this.reset(this.start);
      return;
    }
    this.frames = kept;
    this.end = border;
    this.epochs = this.epochs.filter(({ start }) => start < border);
  }

  advance(offset: number): void {
    if (offset <= this.start) return;
    this.start = offset;
    this.frames = this.frames.filter((frame) => frame.end > offset);
    while ((this.epochs[1]?.start ?? Number.POSITIVE_INFINITY) < offset) this.epochs.shift();
  }

  reset(offset: number): void {
    this.frames = [];
    this.epochs = [];
    this.start = offset;
    this.end = offset;
  }

  read(from: number, upTo: number): string[] {
    const frames = this.frames.filter((frame) => frame.end > from && frame.end <= upTo);
    return frames[0] !== undefined && frames[0].base <= from ? frames.flatMap(({ records }) => records) : [];
  }

  endOfEpoch(asked: number): { epoch: number; endOffset: number } {
    const known = this.epochs.filter((entry) => entry.epoch <= asked).at(-1);
    if (known === undefined) return { epoch: 0, endOffset: this.start };
    const next = this.epochs.find((entry) => entry.epoch > known.epoch);
    return { epoch: known.epoch, endOffset: next?.start ?? this.end };
  }

  atTime(timeMs: number): number | undefined {
    for (const frame of this.frames) {
      if (frame.timeMs >= timeMs) return Math.max(frame.base, this.start);
    }
    return undefined;
  }
}

const command = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      values: fc.array(fc.string({ maxLength: 60 }), { minLength: 1, maxLength: 4 }),
      raise: fc.boolean(),
      timeMs: fc.integer({ min: 1, max: 500 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('flush' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('truncate' as const), back: fc.nat(12) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('advance' as const), forward: fc.nat(10) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('reopen' as const), how: fc.constantFrom('clean', 'kill', 'power') }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reset' as const), to: fc.nat(200) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('read' as const),
      from: fc.nat(100),
      upTo: fc.nat(100),
      maxBytes: fc.nat(700),
    }),
  },
);

const config = {
  segmentBytes: 600,
  indexIntervalBytes: 120,
  checkpointBytes: 500,
  retentionMs: -1,
};

test('a log does what the plain model does, whatever the order of commands', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 5, maxLength: 60 }), async (commands) => {
      const model = new ModelLog();
      let disk = new MemoryDisk({ hasDurableWrites: commands.length % 2 === 1 });
      let log = await openTestLog(disk, config, { openSegments: new OpenSegments(2) });
      let leaderEpoch = 1;
      for (const step of commands) {
        switch (step.kind) {
          case 'append':
            leaderEpoch += step.raise ? 1 : 0;
            log.appendAsLeader(batch(step.values, { timestampMs: step.timeMs }), {
              leaderEpoch: epoch(leaderEpoch),
              appendTimeMs: 7,
            });
            model.append(step.values, leaderEpoch, step.timeMs);
            break;
          case 'flush':
            await log.flush();
            break;
          case 'truncate':
            if (model.end - step.back < model.start) break;
            await log.truncateTo(toOffset(model.end - step.back));
            model.truncate(model.end - step.back);
            break;
          case 'advance': {
            const offset = Math.min(model.end, model.start + step.forward);
            await log.advanceStartOffset(toOffset(offset));
            model.advance(offset);
            break;
          }
          case 'reset':
            await log.resetTo(toOffset(step.to));
            model.reset(step.to);
            break;
          case 'reopen':
            await log.flush();
            if (step.how === 'clean') await log.close();
            if (step.how === 'kill') disk = disk.afterKill();
            if (step.how === 'power') disk = disk.afterPowerLoss(() => false);
            log = await openTestLog(disk, config, { openSegments: new OpenSegments(2) });
            break;
          case 'read':
            await compareRead(log, model, step);
        }
      }
      await compare(log, model);
      await log.flush();
      await compare(log, model);
      await compareIndexes(disk);
      await log.close();
      await compare(await openTestLog(disk, config, { openSegments: new OpenSegments(2) }), model);
    }),
    { numRuns: 120 },
  );
});

async function compareRead(
  log: PartitionLog,
  model: ModelLog,
  request: { from: number; upTo: number; maxBytes: number },
): Promise<void> {
  const from = model.start + (request.from % (model.end - model.start + 1));
  const upTo = from + (request.upTo % (model.end - from + 1));
  const answer = await log.read({ from: toOffset(from), upTo: toOffset(upTo), maxBytes: request.maxBytes });
  const expected = model.read(from, upTo);
  const records = recordsOf(answer.bytes);
  assert.deepEqual(records, expected.slice(0, records.length));
  assert.equal(records.length > 0, expected.length > 0);
  if (records.length === 0) assert.deepEqual([answer.baseOffset, answer.nextOffset], [from, from]);
  else assert.equal(answer.nextOffset, Number(records.at(-1)?.split(':')[0]) + 1);
  const frames = splitFrames(answer.bytes, tableChecksum);
  assert.ok(frames.length <= 1 || answer.bytes.length <= request.maxBytes);
}

async function compare(log: PartitionLog, model: ModelLog): Promise<void> {
  assert.deepEqual([log.startOffset, log.endOffset], [model.start, model.end]);
  assert.deepEqual(
    await contentOf(log),
    model.frames.flatMap(({ records }) => records),
  );
  assert.equal(log.lastEpoch, model.epochs.at(-1)?.epoch ?? 0);
  for (const asked of [0, 1, 3, 9, 99]) {
    const { epoch: known, endOffset } = log.endOffsetForEpoch(epoch(asked));
    assert.deepEqual({ epoch: known, endOffset }, model.endOfEpoch(asked), `epoch ${asked}`);
  }
  for (const timeMs of [0, 100, 250, 499, 501]) {
    assert.equal((await log.offsetForTime(timeMs, log.endOffset))?.offset, model.atTime(timeMs), `time ${timeMs}`);
  }
}

/** Each index on disk is what its segment says. */
async function compareIndexes(disk: MemoryDisk): Promise<void> {
  for (const path of disk.paths().filter((name) => name.endsWith('.index'))) {
    const base = toOffset(Number(path.slice(-26, -6)));
    const stored = SparseIndex.decode(disk.peek(path), base, tableChecksum);
    assert.notEqual(stored, undefined);
    const computed = new SparseIndex(base);
    const segment = disk.peek(`${folder}/${String(base).padStart(20, '0')}.log`)!;
    for (const frame of splitFrames(segment.subarray(0, stored!.coveredPosition), tableChecksum)) {
      const header = readBatchHeader(frame, frame.indexOf(0x08));
      computed.note(
        {
          baseOffset: header.baseOffset,
          endOffset: header.baseOffset + header.recordCount,
          byteLength: frame.length,
          timeMs: header.maxTimestampMs,
          appendTimeMs: header.appendTimeMs,
        },
        config.indexIntervalBytes,
      );
    }
    assert.deepEqual(Buffer.from(stored!.encode(tableChecksum)), Buffer.from(computed.encode(tableChecksum)));
  }
}
