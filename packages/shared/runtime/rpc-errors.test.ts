import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import {
  AssertionFailure,
  DomainError,
  type ErrorName,
  errorCatalogue,
  errorNameOfStatus,
  type Logger,
  silentLogger,
  statusOf,
} from '@fleetmq/shared';
import { fromConnectError, toConnectError, toDomainError } from './rpc-errors.ts';

const codes = Object.keys(errorCatalogue) as ErrorName[];

function recordingLogger(): { logger: Logger; lines: { level: string; fields: Record<string, unknown> }[] } {
  const lines: { level: string; fields: Record<string, unknown> }[] = [];
  const at = (level: string) => (fields: Record<string, unknown>) => void lines.push({ level, fields });
  const logger: Logger = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => logger,
  };
  return { logger, lines };
}

/** As a client gets it: only what travels is left. */
function overTheWire(error: ConnectError): ConnectError {
  const received = new ConnectError(error.rawMessage, error.code);
  received.details = error.details.map((detail) => {
    assert.ok('desc' in detail);
    return { type: detail.desc.typeName, value: new Uint8Array() };
  });
  return received;
}

test('every error of the catalogue has a status and comes back from its ConnectError', () => {
  for (const code of codes) {
    const error = new DomainError(code, 'text', { leaderHint: '1@h:1', retryAfterMs: 7 });
    const connectError = toConnectError(error);
    assert.ok(connectError.code >= 1 && connectError.code <= 16);
    assert.equal(connectError.code, statusOf(code));
    connectError.cause = undefined;
    const back = fromConnectError(connectError);
    assert.deepEqual([back.code, back.message, back.leaderHint, back.retryAfterMs], [code, 'text', '1@h:1', 7]);
  }
});

test('an ErrorResponse whose code is not known keeps the call usable', () => {
  const received = overTheWire(toConnectError(new DomainError('LIMIT_EXCEEDED', 'x')));
  assert.equal(fromConnectError(received).code, 'UNKNOWN_ERROR');
});

test('each bare status has a code whose own status says the same of retrying', () => {
  for (let status = 1; status <= 16; status++) assert.ok(errorNameOfStatus(status) in errorCatalogue);
  assert.equal(fromConnectError(new ConnectError('x', Code.Unavailable)).retriable, true);
  assert.equal(fromConnectError(new ConnectError('x', Code.NotFound)).retriable, false);
});

test('what nobody foresaw is an id for the caller and the detail for the log', () => {
  const { logger, lines } = recordingLogger();
  const error = toDomainError(new TypeError('secret detail at /path'), logger);
  assert.equal(error.code, 'UNKNOWN_ERROR');
  assert.doesNotMatch(error.message, /secret|path/);
  assert.equal(lines[0]?.level, 'warn');
  assert.ok(error.message.includes(lines[0]?.fields['errorId'] as string));
  toDomainError(new AssertionFailure('broken'), logger);
  assert.equal(lines[1]?.level, 'error');
});

test('what is known stays what it is', () => {
  const error = new DomainError('NOT_LEADER', 'x');
  assert.equal(toDomainError(error, silentLogger), error);
  assert.equal(toDomainError(new ConnectError('x', Code.DeadlineExceeded), silentLogger).code, 'TIMEOUT');
  assert.equal(toDomainError(new DOMException('x', 'AbortError'), silentLogger).code, 'CANCELLED');
});
