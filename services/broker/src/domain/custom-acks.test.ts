import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ackLevel, ackPoint, ackRule, needsInsyncReplicas } from './custom-acks.ts';
import { unconfirmed } from './high-watermark.ts';

test('P3: a custom count outside 1 to the replication factor, and unknown levels, are INVALID_ACKS', () => {
  for (const [level, count] of [
    [ackLevel.custom, 0],
    [ackLevel.custom, 4],
    [ackLevel.custom, 2 ** 32 - 1],
    [5, 1],
    [99, 0],
  ] as const) {
    assert.throws(() => ackRule(level, count, 3), { code: 'INVALID_ACKS' }, `level ${level}, count ${count}`);
  }
  assert.equal(ackRule(ackLevel.custom, 3, 3).kind, 'committed');
});

const input = { highWatermark: 10, leaderDurableEnd: 40, durableEnds: [40, 30, 20] };
const cases = [
  { level: ackLevel.none, count: 0, point: Number.POSITIVE_INFINITY },
  { level: ackLevel.leader, count: 0, point: 40 },
  { level: ackLevel.majority, count: 0, point: 10 },
  { level: ackLevel.all, count: 9, point: 10 },
  { level: ackLevel.custom, count: 1, point: 10 },
  { level: ackLevel.custom, count: 3, point: 10 },
];
for (const { level, count, point } of cases) {
  test(`level ${level} with count ${count} is acknowledged up to ${point}`, () => {
    assert.equal(ackPoint(ackRule(level, count, 3), input), point);
  });
}

test('a committed record waits for the counted replicas too', () => {
  const shrunk = { highWatermark: 40, leaderDurableEnd: 40, durableEnds: [40, 25, unconfirmed] };
  assert.equal(ackPoint(ackRule(ackLevel.all, 0, 3), shrunk), 40);
  assert.equal(ackPoint(ackRule(ackLevel.majority, 0, 3), shrunk), 25);
  assert.equal(ackPoint(ackRule(ackLevel.custom, 3, 3), shrunk), unconfirmed);
});

test('P3: the number can only delay an ack, and no rule beyond LEADER passes the watermark', () => {
  const end = fc.integer({ min: -1, max: 50 });
  fc.assert(
    fc.property(fc.array(end, { minLength: 1, maxLength: 7 }), fc.nat(50), fc.nat(6), (ends, watermark, extra) => {
      const state = { highWatermark: watermark, leaderDurableEnd: ends[0] as number, durableEnds: ends };
      const replicas = ends.length;
      let before = Number.POSITIVE_INFINITY;
      for (let count = 1; count <= replicas; count++) {
        const rule = ackRule(ackLevel.custom, count, replicas);
        const point = ackPoint(rule, state);
        assert.ok(needsInsyncReplicas(rule));
        assert.ok(point <= watermark && point <= before);
        const oracle = Math.min(watermark, [...ends].sort((a, b) => b - a)[count - 1] as number);
        assert.equal(point, count === 1 ? watermark : oracle);
        before = point;
      }
      assert.ok(extra >= 0);
    }),
  );
});
