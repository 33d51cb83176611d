import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertReadable, boundFetch, clampOffset, clientFetchBounds } from './fetch.ts';
import { ackTimeoutMs, assertTimestamp, defaultProduceBounds } from './produce.ts';

const mebibyte = 1024 * 1024;
const fetches = [
  { ask: { maxBytes: 0, minBytes: 0, maxWaitMs: 0 }, callMs: undefined, is: [mebibyte, 1, 0] },
  { ask: { maxBytes: 50 * mebibyte, minBytes: 1, maxWaitMs: 1e9 }, callMs: undefined, is: [3 * mebibyte, 1, 30_000] },
  { ask: { maxBytes: 100, minBytes: 5_000, maxWaitMs: 10 }, callMs: undefined, is: [100, 100, 10] },
  { ask: { maxBytes: 100, minBytes: 1, maxWaitMs: 20_000 }, callMs: 10_000, is: [100, 1, 9_900] },
  { ask: { maxBytes: 100, minBytes: 1, maxWaitMs: 20_000 }, callMs: 100, is: [100, 1, 90] },
];
for (const { ask, callMs, is } of fetches) {
  test(`a fetch of ${JSON.stringify(ask)} in a call of ${callMs} ms`, () => {
    const { maxBytes, minBytes, maxWaitMs } = boundFetch(ask, callMs, clientFetchBounds);
    assert.deepEqual([maxBytes, minBytes, maxWaitMs], is);
  });
}

test('an offset is readable from the log start to the watermark', () => {
  for (const offset of [10, 15, 20]) assertReadable(offset, 10, 20);
  for (const offset of [9, 21]) assert.throws(() => assertReadable(offset, 10, 20), { code: 'OFFSET_OUT_OF_RANGE' });
  assert.deepEqual(
    [5, 15, 25].map((offset) => clampOffset(offset, 10, 20)),
    [10, 15, 20],
  );
});

test('P26: a produce request waits for no longer than its call', () => {
  assert.equal(ackTimeoutMs(undefined, undefined, defaultProduceBounds), 30_000);
  assert.equal(ackTimeoutMs(1e9, undefined, defaultProduceBounds), 600_000);
  assert.equal(ackTimeoutMs(0, undefined, defaultProduceBounds), 30_000);
  assert.equal(ackTimeoutMs(30_000, 5_000, defaultProduceBounds), 4_900);
});

test('timestamps are held to the bounds of the topic', () => {
  const bounds = { timestampAfterMaxMs: 100, timestampBeforeMaxMs: 1_000 };
  for (const time of [0, 9_000, 10_000, 10_100]) assertTimestamp(time, 10_000, bounds);
  for (const time of [8_999, 10_101]) {
    assert.throws(() => assertTimestamp(time, 10_000, bounds), { code: 'INVALID_REQUEST' });
  }
  assertTimestamp(1e15, 10_000, { timestampAfterMaxMs: undefined, timestampBeforeMaxMs: undefined });
});
