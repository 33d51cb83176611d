import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Acknowledgments } from './acknowledgments.ts';

test('what was promised is open until it is taken, also when one offset was promised twice', () => {
  const acknowledgments = new Acknowledgments();
  assert.equal(acknowledgments.endOf('all/0'), 0);
  acknowledgments.note('all/0', 4, '1-1', 10);
  acknowledgments.note('all/0', 2, '1-0', 5);
  acknowledgments.note('all/0', 2, '2-0', 20);
  acknowledgments.note('all/1', 7, '1-2', 30);
  assert.equal(acknowledgments.endOf('all/0'), 5);
  assert.deepEqual(acknowledgments.takeBelow('all/0', 4), [
    [2, '1-0'],
    [2, '2-0'],
  ]);
  assert.deepEqual(acknowledgments.takeBelow('all/0', 4), []);
  assert.deepEqual(acknowledgments.takeBelow('all/0', 5), [[4, '1-1']]);
  assert.equal(acknowledgments.endOf('all/1'), 8);
  assert.equal(acknowledgments.hasSince('all/0', 19), true);
  assert.equal(acknowledgments.hasSince('all/0', 20), false);
  assert.equal(acknowledgments.hasSince('all/2', 0), false);
});
