import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ackLevel, ackRule } from './custom-acks.ts';
import { unconfirmed } from './high-watermark.ts';
import { type LeaderStart, LeaderState } from './leader.ts';

const lagMaxMs = 5_000;

function leaderOf(start: Partial<LeaderStart> = {}): LeaderState {
  return new LeaderState({
    localId: 1,
    leaderEpoch: 3,
    partitionEpoch: 7,
    replicas: [1, 2, 3],
    inSyncReplicas: [1, 2, 3],
    endOffset: 100,
    durableEndOffset: 100,
    highWatermark: 90,
    minInsyncReplicas: 2,
    nowMs: 0,
    ...start,
  });
}

const live = (): number => 1;

test('P7: the watermark is the minimum of the durable ends over the ISR, and needs all of them', () => {
  const leader = leaderOf();
  assert.equal(leader.onFollowerDurable(2, 100, 1, 0), false);
  assert.equal(leader.highWatermark, 90);
  assert.ok(leader.onFollowerDurable(3, 95, 1, 0));
  assert.equal(leader.highWatermark, 95);
  leader.onLocalDurable(120);
  leader.onFollowerDurable(2, 120, 1, 0);
  leader.onFollowerDurable(3, 110, 1, 0);
  assert.equal(leader.highWatermark, 110);
});

test('P9: a new leader serves readers only once its watermark covers what an older one may have shown', () => {
  const leader = leaderOf();
  assert.equal(leader.servable, false);
  leader.onFollowerDurable(2, 92, 1, 0);
  assert.equal(leader.servable, false);
  leader.onFollowerDurable(3, 100, 1, 0);
  assert.equal(leader.servable, true);
  assert.equal(leader.highWatermark, 92);
});

test('P9: a leader whose watermark has reached the end of its log at the election serves at once', () => {
  assert.equal(leaderOf({ highWatermark: 100 }).servable, true);
  assert.equal(leaderOf({ replicas: [1], inSyncReplicas: [1], minInsyncReplicas: 1 }).servable, true);
  assert.equal(leaderOf({ replicas: [1], inSyncReplicas: [1], minInsyncReplicas: 1 }).highWatermark, 100);
});

test('P4: below min.insync.replicas the watermark stands still and acks beyond LEADER are refused before the append', () => {
  const leader = leaderOf({ inSyncReplicas: [1], highWatermark: 100 });
  leader.onLocalDurable(150);
  assert.equal(leader.highWatermark, 100);
  assert.throws(() => leader.assertCanAck(ackRule(ackLevel.all, 0, 3)), { code: 'NOT_ENOUGH_REPLICAS' });
  assert.throws(() => leader.assertCanAck(ackRule(ackLevel.majority, 0, 3)), { code: 'NOT_ENOUGH_REPLICAS' });
  leader.assertCanAck(ackRule(ackLevel.leader, 0, 3));
  leader.assertCanAck(ackRule(ackLevel.none, 0, 3));
  assert.equal(leader.notEnoughReplicasAfterAppend().code, 'NOT_ENOUGH_REPLICAS_AFTER_APPEND');
});

test('P10: the ISR changes only when the controllers say so', () => {
  const leader = leaderOf({ highWatermark: 100 });
  leader.onFollowerDurable(2, 100, 1, 0);
  leader.onLocalDurable(120);
  leader.onFollowerDurable(2, 120, 1, 4_000);
  assert.equal(leader.maintainIsr(2_000, lagMaxMs, live), undefined);
  assert.equal(leader.maintainIsr(4_000, lagMaxMs, live), undefined);
  const proposal = leader.maintainIsr(6_000, lagMaxMs, live);
  assert.deepEqual(proposal?.members, [1, 2]);
  assert.equal(leader.highWatermark, 100);
  assert.ok(leader.onAssignment({ replicas: [1, 2, 3], inSyncReplicas: [1, 2], partitionEpoch: 8 }, 6_000));
  assert.equal(leader.highWatermark, 120);
});

test('a follower joins the ISR once it has the watermark and the start of the epoch, under its live registration', () => {
  const leader = leaderOf({ inSyncReplicas: [1, 2], highWatermark: 100 });
  leader.onFollowerDurable(2, 100, 1, 0);
  leader.onFollowerDurable(3, 99, 4, 0);
  assert.equal(
    leader.maintainIsr(100, lagMaxMs, () => 4),
    undefined,
  );
  leader.onFollowerDurable(3, 100, 4, 100);
  assert.equal(
    leader.maintainIsr(100, lagMaxMs, () => 5),
    undefined,
  );
  assert.equal(
    leader.maintainIsr(100, lagMaxMs, () => undefined),
    undefined,
  );
  assert.deepEqual(leader.maintainIsr(100, lagMaxMs, () => 4)?.members, [1, 2, 3]);
  // P7: the joiner counts although nobody has confirmed it.
  leader.onLocalDurable(130);
  leader.onFollowerDurable(2, 130, 1, 100);
  assert.equal(leader.highWatermark, 100);
  leader.onFollowerDurable(3, 130, 4, 100);
  assert.equal(leader.highWatermark, 130);
});

test('P14: what a follower confirmed in an earlier life does not count', () => {
  const leader = leaderOf({ highWatermark: 100 });
  leader.onLocalDurable(120);
  leader.onFollowerDurable(2, 120, 4, 0);
  leader.onFollowerRestarted(2, 6);
  leader.onFollowerDurable(3, 120, 1, 0);
  assert.equal(leader.highWatermark, 100);
  assert.equal(leader.onFollowerDurable(2, 120, 4, 0), false);
  assert.equal(leader.durableEndOf(2), unconfirmed);
  leader.onFollowerDurable(2, 110, 6, 0);
  assert.equal(leader.highWatermark, 110);
});

test('a follower that keeps pace a little behind is not removed; one that stands still is', () => {
  const leader = leaderOf({ highWatermark: 100 });
  for (let step = 1; step <= 100; step++) {
    const nowMs = step * 200;
    leader.onLocalDurable(100 + step * 10);
    leader.onFollowerDurable(2, 100 + (step - 1) * 10, 1, nowMs);
    const proposal = leader.maintainIsr(nowMs, lagMaxMs, live);
    if (proposal !== undefined) {
      assert.deepEqual(proposal.members, [1, 2]);
      leader.onAssignment({ replicas: [1, 2, 3], inSyncReplicas: proposal.members, partitionEpoch: 8 }, nowMs);
    }
  }
  assert.deepEqual(leader.isr.committed, [1, 2]);
});

test('a leader that stood still does not blame its followers', () => {
  const leader = leaderOf({ highWatermark: 100 });
  leader.onFollowerDurable(2, 100, 1, 0);
  leader.onFollowerDurable(3, 100, 1, 0);
  leader.maintainIsr(1_000, lagMaxMs, live);
  leader.onLocalDurable(120);
  assert.equal(leader.maintainIsr(60_000, lagMaxMs, live), undefined);
});

test('a joiner that falls behind again is taken back by another proposal', () => {
  const leader = leaderOf({ inSyncReplicas: [1, 2], highWatermark: 100 });
  leader.onFollowerDurable(2, 100, 1, 0);
  leader.onFollowerDurable(3, 100, 1, 0);
  assert.deepEqual(leader.maintainIsr(0, lagMaxMs, live)?.members, [1, 2, 3]);
  leader.onLocalDurable(200);
  for (let nowMs = 1_000; nowMs <= 5_000; nowMs += 1_000) {
    leader.onFollowerDurable(2, 200, 1, nowMs);
    assert.equal(leader.maintainIsr(nowMs, lagMaxMs, live), undefined);
  }
  leader.onFollowerDurable(2, 200, 1, 6_100);
  assert.deepEqual(leader.maintainIsr(6_100, lagMaxMs, live)?.members, [1, 2]);
  assert.deepEqual(leader.isr.maximal, [1, 2, 3]);
});

test('P7, P9: over any history the watermark never falls, nor passes a durable end of the maximal ISR that counts', () => {
  const broker = fc.constantFrom(2, 3);
  const step = fc.oneof(
    fc.record({ kind: fc.constant('local' as const), by: fc.nat(20) }),
    fc.record({ kind: fc.constant('follower' as const), id: broker, by: fc.integer({ min: -5, max: 20 }) }),
    fc.record({ kind: fc.constant('restart' as const), id: broker }),
    fc.record({ kind: fc.constant('tick' as const), ms: fc.nat(4_000) }),
    fc.record({ kind: fc.constant('answer' as const), accept: fc.boolean() }),
    fc.record({ kind: fc.constant('min' as const), value: fc.integer({ min: 1, max: 3 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const leader = leaderOf();
      const epochs = new Map([
        [2, 1],
        [3, 1],
      ]);
      const ends = new Map([
        [2, 80],
        [3, 80],
      ]);
      let nowMs = 0;
      let partitionEpoch = 7;
      let watermark = leader.highWatermark;
      for (const each of steps) {
        const sizeBefore = leader.isr.committed.length;
        const minBefore = leader.minInsyncReplicas;
        if (each.kind === 'local') leader.onLocalDurable(leader.durableEndOffset + each.by);
        else if (each.kind === 'follower') {
          const end = Math.min(leader.durableEndOffset, Math.max(0, (ends.get(each.id) ?? 0) + each.by));
          ends.set(each.id, end);
          leader.onFollowerDurable(each.id, end, epochs.get(each.id) ?? 1, nowMs);
        } else if (each.kind === 'restart') {
          epochs.set(each.id, (epochs.get(each.id) ?? 1) + 1);
          leader.onFollowerRestarted(each.id, epochs.get(each.id) ?? 1);
        } else if (each.kind === 'min') leader.onMinInsyncReplicas(each.value);
        else if (each.kind === 'tick') {
          nowMs += each.ms;
          leader.maintainIsr(nowMs, lagMaxMs, (id) => epochs.get(id));
        } else {
          const pending = leader.isr.pending;
          if (pending === undefined) continue;
          if (each.accept) {
            const inSyncReplicas = pending.members;
            leader.onAssignment({ replicas: [1, 2, 3], inSyncReplicas, partitionEpoch: ++partitionEpoch }, nowMs);
          } else leader.isr.refuse(pending);
        }
        assert.ok(leader.highWatermark >= watermark);
        assert.ok(leader.highWatermark <= leader.durableEndOffset);
        if (leader.highWatermark > watermark) {
          for (const id of leader.isr.maximal) assert.ok(leader.durableEndOf(id) >= leader.highWatermark);
          assert.ok(leader.isr.committed.length >= leader.minInsyncReplicas);
        } else assert.ok(sizeBefore >= 0 && minBefore >= 1);
        assert.ok(leader.isr.maximal.includes(1));
        watermark = leader.highWatermark;
      }
    }),
    { numRuns: 300 },
  );
});

test('P25: a follower that falls silent leaves the ISR of an idle partition, and is back once it is heard', () => {
  const leader = leaderOf();
  for (const id of [2, 3]) leader.onFollowerDurable(id, 100, 1, 0);
  let nowMs = 0;
  const maintainUntil = (endMs: number) => {
    while (nowMs + 250 <= endMs) {
      nowMs += 250;
      const proposal = leader.maintainIsr(nowMs, lagMaxMs, live);
      if (proposal !== undefined) return proposal.members;
    }
    return undefined;
  };
  assert.equal(maintainUntil(20_000), undefined);
  leader.onFollowerSilent(3, 19_500);
  assert.equal(maintainUntil(19_500 + lagMaxMs), undefined);
  assert.deepEqual(maintainUntil(19_750 + lagMaxMs), [1, 2]);
  leader.onAssignment({ replicas: [1, 2, 3], inSyncReplicas: [1, 2], partitionEpoch: 8 }, nowMs);
  // It has everything still, as far as anybody knows; but who is silent does not come back.
  assert.equal(maintainUntil(40_000), undefined);
  leader.onFollowerHeard(3);
  assert.deepEqual(maintainUntil(40_250), [1, 2, 3]);
});

test('P14, P20: a follower whose log has failed leaves the ISR at once, and counts only with its next log', () => {
  const leader = leaderOf();
  for (const id of [2, 3]) leader.onFollowerDurable(id, 100, 1, 0);
  leader.onFollowerFailed(3);
  assert.equal(leader.durableEndOf(3), unconfirmed);
  assert.equal(leader.mayRebuild(3), false, 'the controllers still hold it in the ISR');
  assert.deepEqual(leader.maintainIsr(1, lagMaxMs, live)?.members, [1, 2]);
  assert.equal(leader.mayRebuild(3), false, 'the proposal is not answered');
  leader.onAssignment({ replicas: [1, 2, 3], inSyncReplicas: [1, 2], partitionEpoch: 8 }, 2);
  assert.equal(leader.mayRebuild(3), true);
  assert.equal(leader.maintainIsr(250, lagMaxMs, live), undefined);
  leader.onFollowerDurable(3, 40, 1, 300);
  assert.equal(leader.mayRebuild(3), false);
  assert.equal(leader.maintainIsr(500, lagMaxMs, live), undefined);
  leader.onFollowerDurable(3, 100, 1, 600);
  assert.deepEqual(leader.maintainIsr(750, lagMaxMs, live)?.members, [1, 2, 3]);
});

test('P14: a joiner whose log fails before the controllers have answered is taken back, and waits for that with its rebuild', () => {
  const leader = leaderOf({ inSyncReplicas: [1, 2] });
  for (const id of [2, 3]) leader.onFollowerDurable(id, 100, 1, 0);
  assert.deepEqual(leader.maintainIsr(1, lagMaxMs, live)?.members, [1, 2, 3]);
  leader.onFollowerFailed(3);
  assert.deepEqual(leader.maintainIsr(2, lagMaxMs, live)?.members, [1, 2]);
  assert.equal(leader.mayRebuild(3), false, 'the first proposal may still be carried out');
  leader.onAssignment({ replicas: [1, 2, 3], inSyncReplicas: [1, 2, 3], partitionEpoch: 8 }, 3);
  assert.deepEqual(leader.maintainIsr(4, lagMaxMs, live)?.members, [1, 2]);
  leader.onAssignment({ replicas: [1, 2, 3], inSyncReplicas: [1, 2], partitionEpoch: 9 }, 5);
  assert.equal(leader.mayRebuild(3), true);
});
