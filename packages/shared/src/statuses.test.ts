import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Code } from '@connectrpc/connect';
import { errorCatalogue } from './errors.ts';
import { errorNameOfStatus, fromErrorResponse, statusOf } from './statuses.ts';

test('statuses have the numbers of gRPC', () => {
  const expected = {
    CANCELLED: Code.Canceled,
    INVALID_REQUEST: Code.InvalidArgument,
    TIMEOUT: Code.DeadlineExceeded,
    TOPIC_NOT_FOUND: Code.NotFound,
    TOPIC_ALREADY_EXISTS: Code.AlreadyExists,
    UNAUTHORIZED: Code.PermissionDenied,
    LIMIT_EXCEEDED: Code.ResourceExhausted,
    STALE_EPOCH: Code.FailedPrecondition,
    PROPOSAL_DROPPED: Code.Aborted,
    OFFSET_OUT_OF_RANGE: Code.OutOfRange,
    UNIMPLEMENTED: Code.Unimplemented,
    UNKNOWN_ERROR: Code.Internal,
    NOT_LEADER: Code.Unavailable,
    CORRUPT_LOG: Code.DataLoss,
    UNAUTHENTICATED: Code.Unauthenticated,
  } as const;
  for (const [name, status] of Object.entries(expected)) assert.equal(statusOf(name as keyof typeof expected), status);
});

test('each bare status has a code, and what is none is an unknown error', () => {
  for (let status = 1; status <= 16; status++) assert.ok(errorNameOfStatus(status) in errorCatalogue);
  assert.equal(errorNameOfStatus(Code.Unavailable), 'NOT_AVAILABLE');
  for (const status of [0, Code.Unknown, 99]) assert.equal(errorNameOfStatus(status), 'UNKNOWN_ERROR');
});

test('an error that a peer sent keeps what it says', () => {
  const bare = { code: 4, message: '', retriable: false, leaderHint: '' };
  const cause = new Error('transport');
  const plain = fromErrorResponse(bare, cause);
  assert.deepEqual(
    [plain.code, plain.message, plain.retriable, plain.leaderHint, plain.retryAfterMs, plain.cause],
    ['NOT_AVAILABLE', 'NOT_AVAILABLE', false, undefined, undefined, cause],
  );
  const retryAfter = { seconds: 1n, nanos: 500_000_000 };
  const full = fromErrorResponse({ ...bare, code: 3, message: 'moved', leaderHint: '2@h:1', retryAfter });
  assert.deepEqual(
    [full.code, full.message, full.leaderHint, full.retryAfterMs],
    ['NOT_LEADER', 'moved', '2@h:1', 1_500],
  );
  assert.equal(fromErrorResponse({ ...bare, code: 9_999 }).code, 'UNKNOWN_ERROR');
});
