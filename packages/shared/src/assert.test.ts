import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AssertionFailure, assert as assertTrue, unreachable } from './assert.ts';

test('assertions throw with their message, and name what no switch handles', () => {
  assertTrue(true, 'fine');
  assert.throws(
    () => assertTrue(false, 'match < next'),
    (error) => error instanceof AssertionFailure && error.message === 'match < next',
  );
  assert.throws(() => unreachable({ kind: 'new' } as never), {
    name: 'AssertionFailure',
    message: 'unreachable: {"kind":"new"}',
  });
  assert.throws(() => unreachable({ producerId: 1n } as never), { message: 'unreachable: {"producerId":"1n"}' });
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  for (const odd of [undefined, circle, Symbol('x')]) {
    assert.throws(() => unreachable(odd as never), { name: 'AssertionFailure' });
  }
});
