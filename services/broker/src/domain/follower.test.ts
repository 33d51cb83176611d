import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gapFrame } from '@fleetmq/record';
import { tableChecksum } from '@fleetmq/shared';
import fc from 'fast-check';
import { followerStep, type LeaderMessage } from './follower.ts';
import { ModelLog } from './model-log.fuzz.ts';
import { PartitionState } from './partition.ts';
import { Progress } from './progress.ts';

const none = new Uint8Array(0);

function logOf(...batches: readonly (readonly [epoch: number, records: number])[]): ModelLog {
  const log = new ModelLog();
  for (const [epoch, records] of batches) log.append(epoch, records, `e${epoch}@${log.endOffset}`);
  return log;
}

function message(fields: Partial<LeaderMessage>): LeaderMessage {
  return {
    leaderEpoch: 9,
    baseOffset: 0,
    previousEpoch: 0,
    batches: none,
    leaderEndOffset: 100,
    reset: false,
    ...fields,
  };
}

test('batches that continue the log are appended', () => {
  const leader = logOf([1, 5], [2, 5]);
  const step = followerStep(
    message({ baseOffset: 5, previousEpoch: 1, batches: leader.read(5, 1e6).bytes }),
    logOf([1, 5]),
    5,
  );
  assert.equal(step.kind, 'append');
  assert.ok(step.kind === 'append' && step.matchedEnd === 10 && step.truncateTo === undefined);
});

const compactedGap = (leaderEpoch: number, baseOffset: number, endOffset: number): Uint8Array =>
  gapFrame({ baseOffset, endOffset, leaderEpoch, appendTimeMs: 1 }, tableChecksum);

test('of a gap that compaction has made, only the epoch is compared, and a log that ends inside takes the rest', () => {
  const gap = compactedGap(2, 3, 20);
  const ask = message({ baseOffset: 3, previousEpoch: 1, batches: gap });
  const cases = [
    // It has the whole of it.
    [logOf([1, 3], [2, 9], [2, 8], [4, 2]), { truncateTo: undefined, batches: 0, matchedEnd: 20 }],
    [logOf([1, 3], [2, 9], [2, 4]), { truncateTo: undefined, batches: gap.length, matchedEnd: 20 }],
    [logOf([1, 3]), { truncateTo: undefined, batches: gap.length, matchedEnd: 20 }],
    // It has batches of a leader that was never the leader's.
    [logOf([1, 3], [3, 2]), { truncateTo: 3, batches: gap.length, matchedEnd: 20 }],
    [logOf([1, 3], [2, 6], [3, 2]), { truncateTo: 9, batches: gap.length, matchedEnd: 20 }],
    [logOf([1, 3], [2, 6], [3, 20]), { truncateTo: 9, batches: gap.length, matchedEnd: 20 }],
  ] as const;
  for (const [log, expected] of cases) {
    const step = followerStep(ask, log, 3);
    assert.ok(step.kind === 'append');
    const { truncateTo, batches, matchedEnd } = step;
    assert.deepEqual({ truncateTo, batches: batches.length, matchedEnd }, expected);
  }
  assert.equal(followerStep(ask, logOf([1, 3], [2, 6], [3, 2]), 10).kind, 'halt');
});

test('a gap, and another epoch before the place, are answered with the end of the own epoch', () => {
  const log = logOf([1, 5], [3, 5]);
  assert.deepEqual(followerStep(message({ baseOffset: 20, previousEpoch: 4 }), log, 0), {
    kind: 'diverged',
    epoch: 3,
    endOffset: 10,
  });
  assert.deepEqual(followerStep(message({ baseOffset: 8, previousEpoch: 2 }), log, 0), {
    kind: 'diverged',
    epoch: 1,
    endOffset: 5,
  });
});

test('P13: a probe never truncates, however much longer the own log is', () => {
  const log = logOf([1, 5], [2, 5]);
  const step = followerStep(message({ baseOffset: 5, previousEpoch: 1, leaderEndOffset: 50 }), log, 0);
  assert.ok(step.kind === 'append' && step.truncateTo === undefined && step.batches.length === 0);
  assert.ok(step.kind === 'append' && step.matchedEnd === 5);
});

test("P13: a tail of an older epoch goes only where the leader's log ends, or where its batch is another", () => {
  const log = logOf([1, 5], [2, 5]);
  const atEnd = followerStep(message({ baseOffset: 5, previousEpoch: 1, leaderEndOffset: 5 }), log, 5);
  assert.ok(atEnd.kind === 'append' && atEnd.truncateTo === 5);
  const leader = logOf([1, 5], [9, 3]);
  const batches = leader.read(5, 1e6).bytes;
  const conflict = followerStep(message({ baseOffset: 5, previousEpoch: 1, batches, leaderEndOffset: 8 }), log, 5);
  assert.ok(conflict.kind === 'append' && conflict.truncateTo === 5 && conflict.matchedEnd === 8);
});

test('P13: the own tail of the leader\'s epoch is never cut by a late message that says "my log ends here"', () => {
  const log = logOf([1, 5], [9, 5]);
  const step = followerStep(message({ baseOffset: 5, previousEpoch: 1, leaderEndOffset: 5 }), log, 0);
  assert.ok(step.kind === 'append' && step.truncateTo === undefined);
});

test('P13: below its own watermark a follower stops instead of truncating', () => {
  const log = logOf([1, 5], [2, 5]);
  assert.equal(followerStep(message({ baseOffset: 5, previousEpoch: 1, leaderEndOffset: 5 }), log, 6).kind, 'halt');
  assert.equal(followerStep(message({ baseOffset: 5, reset: true, leaderEndOffset: 5 }), log, 6).kind, 'halt');
});

test('what is there already is skipped, the rest appended', () => {
  const leader = logOf([1, 5], [2, 5], [2, 5]);
  const batches = leader.read(0, 1e6).bytes;
  const step = followerStep(message({ baseOffset: 0, batches }), logOf([1, 5], [2, 5]), 0);
  assert.ok(step.kind === 'append' && step.truncateTo === undefined && step.matchedEnd === 15);
  assert.deepEqual(step.kind === 'append' && step.batches, leader.batches[2]?.frame);
});

test('a reset begins anew, and a late one does nothing', () => {
  const leader = logOf([1, 5], [2, 5], [2, 5]);
  leader.deleteBefore(10);
  const batches = leader.read(10, 1e6).bytes;
  const reset = message({ baseOffset: 10, batches, reset: true, leaderEndOffset: 15 });
  const step = followerStep(reset, logOf([1, 5]), 3);
  assert.ok(step.kind === 'reset' && step.startOffset === 10 && step.matchedEnd === 15);
  const late = followerStep(reset, logOf([1, 5], [2, 5], [2, 5]), 15);
  assert.ok(late.kind === 'append' && late.truncateTo === undefined && late.batches.length === 0);
});

test('before its own log start a follower tells where its log ends', () => {
  const log = new ModelLog();
  log.resetTo(20);
  assert.deepEqual(followerStep(message({ baseOffset: 10, previousEpoch: 1 }), log, 20), {
    kind: 'diverged',
    epoch: 0,
    endOffset: 20,
  });
  assert.equal(followerStep(message({ baseOffset: 20, previousEpoch: 7 }), log, 20).kind, 'append');
});

/** One exchange after the other until the follower has the leader's log; messages may come late or twice. */
function replicate(
  leader: ModelLog,
  follower: ModelLog,
  leaderEpoch: number,
  watermark: number,
  noise: readonly number[],
): void {
  const progress = new Progress(leader.endOffset);
  const state = new PartitionState(2, watermark);
  state.observeLeader(1, leaderEpoch);
  const sent: LeaderMessage[] = [];
  for (let round = 0, id = 1; round < 200; round++, id++) {
    if (progress.state === 'replicate' && progress.nextOffset === leader.endOffset) return;
    assert.ok(progress.maySend(1e9));
    const room = progress.roomBytes;
    const baseOffset = progress.needsReset ? leader.firstBatchOffset : progress.nextOffset;
    const { bytes, endOffset } = room > 0 ? leader.read(baseOffset, 200) : { bytes: none, endOffset: baseOffset };
    const out = message({
      leaderEpoch,
      baseOffset,
      previousEpoch: progress.needsReset ? 0 : progress.previousEpoch(leader),
      batches: bytes,
      leaderEndOffset: leader.endOffset,
      reset: progress.needsReset,
    });
    sent.push(out);
    progress.onSent({
      correlationId: id,
      bytes: bytes.length,
      endOffset,
      highWatermark: 0,
      startOffset: 0,
      lastEpoch: leader.epochAt(endOffset - 1),
    });
    const late = sent[(noise[round % Math.max(1, noise.length)] ?? 0) % sent.length] as LeaderMessage;
    apply(late, follower, state);
    const step = apply(out, follower, state);
    if (step.kind === 'diverged') progress.onDiverged(id, step, leader, 0);
    else progress.onMatch(id);
  }
  assert.fail('the search does not end');
}

function apply(out: LeaderMessage, follower: ModelLog, state: PartitionState) {
  const step = followerStep(out, follower, state.highWatermark);
  assert.notEqual(step.kind, 'halt');
  if (step.kind === 'append') {
    if (step.truncateTo !== undefined) {
      assert.ok(step.truncateTo >= state.highWatermark);
      follower.truncateTo(step.truncateTo);
    }
    follower.appendFrames(step.batches);
    state.onMatch(step.matchedEnd, 0);
  } else if (step.kind === 'reset') {
    follower.resetTo(step.startOffset);
    follower.appendFrames(step.batches);
    state.onReset(step.startOffset);
  }
  return step;
}

test('P6, P13: whatever history two replicas share, the follower ends with exactly the log of the leader', () => {
  const batch = fc.record({ jump: fc.nat(2), records: fc.integer({ min: 1, max: 4 }) });
  const tail = fc.array(batch, { maxLength: 6 });
  const noise = fc.array(fc.nat(100), { maxLength: 20 });
  fc.assert(
    fc.property(tail, tail, tail, fc.nat(30), fc.nat(30), noise, (shared, left, right, deleted, trimmed, late) => {
      const leader = new ModelLog();
      let epoch = 1;
      for (const { jump, records } of shared) {
        epoch += jump;
        leader.append(epoch, records, 'shared');
      }
      const committed = leader.endOffset;
      const follower = leader.clone();
      // Different leaders wrote the two tails: their epochs never meet.
      let odd = epoch * 2 + 1;
      for (const { jump, records } of left) {
        odd += jump * 2;
        leader.append(odd, records, 'left');
      }
      let even = epoch * 2 + 2;
      for (const { jump, records } of right) {
        even += jump * 2;
        follower.append(even, records, 'right');
      }
      leader.deleteBefore(Math.min(deleted, committed));
      follower.deleteBefore(Math.min(trimmed, committed));
      const leaderEpoch = Math.max(odd, even) + 5;
      replicate(leader, follower, leaderEpoch, Math.min(committed, Math.max(follower.startOffset, 0)), late);
      assert.equal(follower.endOffset, leader.endOffset);
      const from = Math.max(leader.startOffset, follower.startOffset);
      const framesOf = (log: ModelLog) => log.batches.filter((each) => each.endOffset > from).map((each) => each.frame);
      assert.deepEqual(framesOf(follower), framesOf(leader));
    }),
    { numRuns: 300 },
  );
});
