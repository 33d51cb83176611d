import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BoundedWall } from './bounded-wall.ts';

const minute = 60_000;
const hour = 60 * minute;

/** Reads the clock each minute while `offsetAt` says how wrong the wall is; returns the most that a reading was ahead of true time. */
function worst(minutes: number, offsetAt: (minute: number) => number): { ahead: number; behind: number } {
  const origin = 1_700_000_000_000;
  const now = { monotonicMs: 0, wallMs: origin + offsetAt(0) };
  const wall = new BoundedWall({ monotonicMs: () => now.monotonicMs, wallMs: () => now.wallMs });
  let ahead = 0;
  let behind = 0;
  for (let i = 1; i <= minutes; i++) {
    now.monotonicMs = i * minute;
    now.wallMs = origin + i * minute + offsetAt(i);
    const error = wall.nowMs() - (origin + i * minute);
    ahead = Math.max(ahead, error);
    behind = error;
  }
  return { ahead, behind: -behind };
}

test('a clock that is right is taken as it is, one that drifts a little too', () => {
  assert.deepEqual(
    worst(600, () => 0),
    { ahead: 0, behind: -0 },
  );
  const drift = worst(600, (i) => i * 100);
  assert.ok(drift.ahead <= 600 * 100 && drift.behind === -600 * 100);
});

test('a jump ahead of an hour, or of years, for ten minutes counts for half a minute', () => {
  for (const jump of [hour, 20 * 365 * 24 * hour]) {
    const { ahead } = worst(120, (i) => (i >= 50 && i < 60 ? jump : 0));
    assert.ok(ahead <= minute / 2 && ahead > 0, `${ahead}`);
  }
});

test('a strobing clock counts for little, and one that goes back is believed', () => {
  assert.ok(worst(600, (i) => (i % 2) * hour).ahead <= 6 * minute);
  assert.equal(worst(120, (i) => (i > 60 ? -hour : 0)).behind, hour);
});

test('a jump that stays, because the clock was wrong before, is taken over in the end', () => {
  const { behind } = worst(60 * 30, (i) => (i === 0 ? -hour : 0));
  assert.equal(behind, -0);
});
