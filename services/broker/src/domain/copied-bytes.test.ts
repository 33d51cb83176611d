import assert from 'node:assert/strict';
import { test } from 'node:test';
import { copiedBytes } from './copied-bytes.ts';

test('the bytes that a replica has are its share of the offsets', () => {
  const log = { startOffset: 100, endOffset: 200, sizeBytes: 1_001 };
  for (const [durableEnd, bytes] of [
    [-1, 0],
    [0, 0],
    [100, 0],
    [150, 500],
    [199, 990],
    [200, 1_001],
    [300, 1_001],
  ] as const) {
    assert.equal(copiedBytes(log, durableEnd), bytes, `end ${durableEnd}`);
  }
  assert.equal(copiedBytes({ startOffset: 7, endOffset: 7, sizeBytes: 0 }, -1), 0);
});
