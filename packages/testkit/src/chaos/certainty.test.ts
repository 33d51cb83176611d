import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DomainError, type ErrorName } from '@fleetmq/shared';
import { outcomeOf } from './certainty.ts';

const table: readonly (readonly [ErrorName, 'fail' | 'info'])[] = [
  ['NOT_LEADER', 'fail'],
  ['NOT_AVAILABLE', 'fail'],
  ['PROPOSAL_DROPPED', 'fail'],
  ['LIMIT_EXCEEDED', 'fail'],
  ['DISK_FULL', 'fail'],
  ['INVALID_REQUEST', 'fail'],
  ['STALE_EPOCH', 'fail'],
  // Nothing promises that nothing happened.
  ['TIMEOUT', 'info'],
  ['CANCELLED', 'info'],
  ['SHUTTING_DOWN', 'info'],
  ['STORAGE_FAILED', 'info'],
  ['REQUEST_TOO_LARGE', 'info'],
  ['UNKNOWN_ERROR', 'info'],
];

for (const [code, expected] of table) {
  test(`${code}: ${expected}`, () => {
    assert.equal(outcomeOf(new DomainError(code, 'text')), expected);
    assert.equal(outcomeOf(new DomainError(code, 'text', { outcomeUnknown: true })), 'info');
  });
}

test('a deadline that passed before the call was sent', () => {
  assert.equal(outcomeOf(new DomainError('TIMEOUT', 'it was not sent', { outcomeUnknown: false })), 'fail');
});
