import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DomainError, type ErrorName, errorCatalogue, isDomainError } from '@fleetmq/shared';
import fc from 'fast-check';
import {
  decodeStatusMessage,
  encodeStatusMessage,
  errorOfHttpStatus,
  errorOfTrailers,
  errorTrailers,
} from './status.ts';
import { formatTimeout, parseTimeout } from './timeout.ts';

const codes = Object.keys(errorCatalogue) as ErrorName[];

test('every error of the catalogue survives the trailers', () => {
  for (const code of codes) {
    const error = new DomainError(code, `what was wrong: 100 %, "ä"`, {
      leaderHint: '2@host:7611',
      retryAfterMs: 1_250,
    });
    const received = errorOfTrailers(errorTrailers(error));
    assert.ok(received !== undefined);
    assert.equal(received.code, code);
    assert.equal(received.message, error.message);
    assert.equal(received.retriable, error.retriable);
    assert.equal(received.leaderHint, '2@host:7611');
    assert.equal(received.retryAfterMs, 1_250);
  }
});

test('any text is safe in grpc-message and comes back', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      const encoded = encodeStatusMessage(text);
      assert.match(encoded, /^[\x20-\x7e]*$/);
      assert.equal(decodeStatusMessage(encoded), text.toWellFormed());
    }),
  );
  assert.equal(encodeStatusMessage('a\r\nb%'), 'a%0D%0Ab%25');
  assert.equal(decodeStatusMessage('100%'), '100%');
});

test('long and ill-formed texts are bounded', () => {
  const trailers = errorTrailers(new DomainError('INVALID_REQUEST', `\ud800${'ü'.repeat(50_000)}`));
  const size = Object.values(trailers).reduce((sum, value) => sum + value.length, 0);
  assert.ok(size < 16_000, `${size} bytes of trailers`);
  assert.equal(errorOfTrailers(trailers)?.code, 'INVALID_REQUEST');
});

test('a status without detail, or with a broken one, is mapped by its number', () => {
  assert.equal(errorOfTrailers({ 'grpc-status': '0' }), undefined);
  assert.equal(errorOfTrailers({ 'grpc-status': '14', 'grpc-message': 'gone' })?.code, 'NOT_AVAILABLE');
  assert.equal(errorOfTrailers({ 'grpc-status': '14', 'grpc-message': 'gone' })?.message, 'gone');
  assert.equal(errorOfTrailers({ 'grpc-status': 'x' })?.code, 'UNKNOWN_ERROR');
  assert.equal(errorOfTrailers({ 'grpc-status': '99' })?.code, 'UNKNOWN_ERROR');
  const broken = { 'grpc-status': '4', 'grpc-status-details-bin': 'CAgSAg' };
  assert.equal(errorOfTrailers(broken)?.code, 'TIMEOUT');
  assert.equal(errorOfHttpStatus(503).code, 'NOT_AVAILABLE');
  assert.equal(errorOfHttpStatus(404).code, 'UNIMPLEMENTED');
});

test('timeouts: every unit is read, and what is written is never shorter', () => {
  const table: [string, number][] = [
    ['1H', 3_600_000],
    ['2M', 120_000],
    ['3S', 3_000],
    ['4m', 4],
    ['5000u', 5],
    ['1n', 1],
    ['99999999H', 2 ** 31 - 1],
    ['0m', 0],
  ];
  for (const [header, ms] of table) assert.equal(parseTimeout(header), ms, header);
  for (const header of ['', '1', 'm', '-1m', '1.5S', '123456789m', '1mm', ' 1m']) {
    assert.throws(() => parseTimeout(header), isDomainError, header);
  }
  fc.assert(
    fc.property(fc.double({ min: -10, max: 2 ** 31 - 1, noNaN: true }), (ms) => {
      const read = parseTimeout(formatTimeout(ms));
      assert.ok(read >= ms && read <= Math.max(1, ms + 1_000));
    }),
  );
});
