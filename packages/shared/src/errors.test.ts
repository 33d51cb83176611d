import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { ErrorCodeSchema } from '@fleetmq/gen/common/errors';
import { DomainError, type ErrorName, errorCatalogue, errorName, errorNumber, isDomainError } from './errors.ts';

const names = Object.keys(errorCatalogue) as ErrorName[];
const contract = readFileSync(new URL('../../../proto/common/errors.proto', import.meta.url), 'utf8');

describe('the catalogue', () => {
  test('has the names and numbers of the contract, all of them', () => {
    const ours = Object.fromEntries(names.map((name) => [name, errorNumber(name)]));
    const theirs = Object.fromEntries(ErrorCodeSchema.values.map((value) => [value.name, value.number]));
    assert.deepEqual({ OK: 0, ...ours }, theirs);
  });

  test('says what the comments of the contract say', () => {
    for (const name of names) {
      const { status, retriable, advice } = errorCatalogue[name];
      const sentence = advice.charAt(0).toUpperCase() + advice.slice(1);
      const comment = `  // Status ${status}, ${retriable ? '' : 'not '}retriable. ${sentence}.\n  ${name} = `;
      assert.ok(contract.includes(comment), `proto/common/errors.proto lacks:\n${comment}`);
    }
  });

  test('goes from name to number and back; an unknown number is UNKNOWN_ERROR', () => {
    for (const name of names) assert.equal(errorName(errorNumber(name)), name);
    assert.equal(errorName(0), 'UNKNOWN_ERROR');
    assert.equal(errorName(99_999), 'UNKNOWN_ERROR');
  });
});

describe('a DomainError', () => {
  test('takes from the catalogue what it is not told', () => {
    const error = new DomainError('NOT_LEADER', 'broker 2 does not lead orders-3');
    assert.deepEqual(
      [
        error.name,
        error.code,
        error.retriable,
        error.leaderHint,
        error.retryAfterMs,
        error.outcomeUnknown,
        error.cause,
      ],
      ['DomainError', 'NOT_LEADER', true, undefined, undefined, false, undefined],
    );
    assert.equal(new DomainError('TIMEOUT', 'x').outcomeUnknown, true);
  });

  test('keeps what it is told', () => {
    const cause = new Error('why');
    const options = { retriable: false, leaderHint: '1@a:7611', retryAfterMs: 50, outcomeUnknown: true, cause };
    const {
      retriable,
      leaderHint,
      retryAfterMs,
      outcomeUnknown,
      cause: kept,
    } = new DomainError('NOT_LEADER', 'x', options);
    assert.deepEqual({ retriable, leaderHint, retryAfterMs, outcomeUnknown, cause: kept }, options);
  });

  test('is told from other errors', () => {
    assert.ok(isDomainError(new DomainError('TIMEOUT', 'x')));
    for (const other of [new Error('x'), undefined, null, { code: 'TIMEOUT' }]) assert.ok(!isDomainError(other));
  });
});
