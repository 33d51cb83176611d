import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatTopicPartition, isTopicName, toOffset, toSafeInteger } from './ids.ts';

describe('offsets', () => {
  test('are whole numbers of 0 to 2^53-1, from bigint or number', () => {
    for (const value of [0, 1, Number.MAX_SAFE_INTEGER]) {
      assert.equal(toOffset(value), value);
      assert.equal(toOffset(BigInt(value)), value);
    }
  });

  test('refuse everything else, with the value', () => {
    const bad = [-1, -1n, 2 ** 53, 2n ** 53n, 2n ** 64n - 1n, 0.5, Number.NaN, Number.POSITIVE_INFINITY];
    for (const value of bad) {
      assert.throws(() => toOffset(value), {
        code: 'OFFSET_OUT_OF_RANGE',
        message: new RegExp(`offset ${value} is outside`),
      });
    }
  });
});

test('other ids say what they are when they are refused', () => {
  assert.equal(toSafeInteger(5n, 'term'), 5);
  assert.throws(() => toSafeInteger(2n ** 60n, 'term'), {
    code: 'INVALID_REQUEST',
    message: /term 1152921504606846976 is/,
  });
  assert.throws(() => toSafeInteger(-1, 'epoch'), { code: 'INVALID_REQUEST', message: /epoch -1 is outside/ });
});

test('topic names', () => {
  for (const good of ['a', 'orders', 'Orders_2.eu-west', '...', '__group_offsets', 'x'.repeat(249)]) {
    assert.ok(isTopicName(good), good);
  }
  for (const bad of ['', '.', '..', 'a b', 'a/b', 'ä', 'a\n', 'x'.repeat(250), '../../etc']) {
    assert.ok(!isTopicName(bad), JSON.stringify(bad));
  }
});

test('a partition of a topic prints with the number last', () => {
  assert.equal(formatTopicPartition('orders-2', 3), 'orders-2-3');
});
