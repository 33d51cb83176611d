import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CatchUpThrottles, type MoveLimit } from './catch-up-throttles.ts';
import type { Replica } from './replica.ts';

const mebibyte = 1024 * 1024;
/** The bounds of moves go by the follower alone here. */
const replica = {} as Replica;

function throttlesOf(catchUpBytesPerSecond: number, moves: Record<number, MoveLimit> = {}) {
  const clock = { nowMs: 0, monotonicMs: () => clock.nowMs, wallMs: () => 0 };
  const moveLimitOf = (_: Replica, followerId: number): MoveLimit | undefined => moves[followerId];
  return { clock, throttles: new CatchUpThrottles({ clock, catchUpBytesPerSecond, moveLimitOf }) };
}

test('without bounds everything may go, in messages as large as may be', () => {
  const { throttles } = throttlesOf(0);
  throttles.spend(replica, 2, 100 * mebibyte);
  assert.ok(throttles.isOpen(0) && throttles.isOpenFor(replica, 2, 0));
  assert.equal(throttles.messageBytes(replica, 2, mebibyte), mebibyte);
});

test('the bound of a move holds for all partitions that it moves and for no other, and may change', () => {
  const moves: Record<number, MoveLimit> = {
    2: { key: 'move', bytesPerSecond: mebibyte },
    3: { key: 'move', bytesPerSecond: mebibyte },
  };
  const { clock, throttles } = throttlesOf(0, moves);
  throttles.spend(replica, 2, 2 * mebibyte);
  assert.deepEqual(
    [2, 3, 4].map((id) => throttles.isOpenFor(replica, id, 0)),
    [false, false, true],
  );
  assert.equal(throttles.messageBytes(replica, 3, mebibyte), Math.floor(mebibyte / 10));
  clock.nowMs = 1_000;
  assert.equal(throttles.isOpenFor(replica, 2, clock.nowMs), false);
  for (const id of [2, 3]) moves[id] = { key: 'move', bytesPerSecond: 10 * mebibyte };
  assert.equal(throttles.isOpenFor(replica, 2, clock.nowMs), false);
  clock.nowMs = 1_200;
  assert.equal(throttles.isOpenFor(replica, 3, clock.nowMs), true);
});

test('the bound for all holds beside that of a move', () => {
  const { throttles } = throttlesOf(mebibyte, { 2: { key: 'move', bytesPerSecond: 100 * mebibyte } });
  throttles.spend(replica, 2, mebibyte);
  assert.equal(throttles.isOpen(0), false);
  assert.equal(throttles.isOpenFor(replica, 2, 0), true);
  assert.equal(throttles.messageBytes(replica, 2, mebibyte), Math.floor(mebibyte / 10));
});
