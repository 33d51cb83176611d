import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ErrorName, errorCatalogue } from '@fleetmq/shared';
import { failureInBody, isFinal, isOpen, type RetryStep, stepAfter } from './retry.ts';

describe('what follows a failed attempt', () => {
  const table: readonly (readonly [ErrorName, boolean, RetryStep, RetryStep])[] = [
    // code, outcome unknown: step for a plain write, step for one that the broker recognises
    ['NOT_LEADER', false, 'retry', 'retry'],
    ['NOT_AVAILABLE', false, 'retry', 'retry'],
    ['NOT_AVAILABLE', true, 'unknown', 'retry'],
    ['SHUTTING_DOWN', false, 'unknown', 'retry'],
    ['CANCELLED', false, 'unknown', 'retry'],
    ['STORAGE_FAILED', false, 'answer', 'retry'],
    ['TIMEOUT', false, 'unknown', 'retry'],
    ['TIMEOUT', true, 'unknown', 'retry'],
  ];
  for (const [code, outcomeUnknown, plain, safe] of table) {
    test(`${code}${outcomeUnknown ? ', outcome unknown' : ''}: ${plain}; recognised: ${safe}`, () => {
      const failure = { code, message: '', outcomeUnknown };
      assert.equal(stepAfter(failure, false), plain);
      assert.equal(stepAfter(failure, true), safe);
    });
  }

  test('every other code is the answer', () => {
    const listed = new Set(table.map(([code]) => code));
    for (const code of Object.keys(errorCatalogue) as ErrorName[]) {
      if (listed.has(code)) continue;
      assert.equal(stepAfter({ code, message: '', outcomeUnknown: false }, true), 'answer', code);
    }
  });

  test('an unknown outcome of a plain write is never retried', () => {
    for (const code of Object.keys(errorCatalogue) as ErrorName[]) {
      if (code === 'NOT_LEADER') continue; // a leader that says so has written nothing
      assert.notEqual(stepAfter({ code, message: '', outcomeUnknown: true }, false), 'retry', code);
    }
  });

  test('a body says by its code whether the outcome is open, a connection by how it was lost', () => {
    assert.equal(isOpen(failureInBody('TIMEOUT', '')), true);
    assert.equal(isOpen(failureInBody('NOT_LEADER', '')), false);
    assert.equal(isOpen({ code: 'NOT_AVAILABLE', message: '', outcomeUnknown: true }), true);
  });

  test('behind an unknown outcome, only what is final is believed', () => {
    for (const code of ['NOT_ENOUGH_REPLICAS', 'DISK_FULL', 'LIMIT_EXCEEDED'] as const)
      assert.equal(isFinal(code), false);
    for (const code of ['PRODUCER_FENCED', 'OUT_OF_ORDER_SEQUENCE', 'UNAUTHORIZED'] as const)
      assert.equal(isFinal(code), true);
  });
});
