/**
 * The one mapping between DomainError and what travels: a gRPC or Connect status with `rustmq.common.ErrorResponse` as its
 * detail. Both ways: `toConnectError` for servers, `fromConnectError` for clients; the lane's trailers use the same parts.
 *
 * Invariants: the status of a code comes from the catalogue and nowhere else; a text that leaves the process is bounded,
 * well-formed Unicode; the detail of an unknown error (message, stack, paths) goes to the log, and only its id to the caller.
 * Never matches on texts. Statuses: https://grpc.io/docs/guides/status-codes
 */
import { randomUUID } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { type ErrorCode, type ErrorResponse, ErrorResponseSchema } from '@fleetmq/gen/common/errors';
import {
  AssertionFailure,
  boundText,
  DomainError,
  type ErrorName,
  errorCatalogue,
  errorName,
  errorNumber,
  isDomainError,
  type Logger,
  type StatusName,
} from '@fleetmq/shared';

const statusNumbers: Readonly<Record<StatusName, number>> = {
  canceled: Code.Canceled,
  unknown: Code.Unknown,
  invalid_argument: Code.InvalidArgument,
  deadline_exceeded: Code.DeadlineExceeded,
  not_found: Code.NotFound,
  already_exists: Code.AlreadyExists,
  permission_denied: Code.PermissionDenied,
  resource_exhausted: Code.ResourceExhausted,
  failed_precondition: Code.FailedPrecondition,
  aborted: Code.Aborted,
  out_of_range: Code.OutOfRange,
  unimplemented: Code.Unimplemented,
  internal: Code.Internal,
  unavailable: Code.Unavailable,
  data_loss: Code.DataLoss,
  unauthenticated: Code.Unauthenticated,
};

/** What a bare status means when no ErrorResponse came with it: a foreign server, a proxy, or the transport itself. */
const namesByStatus: ReadonlyMap<number, ErrorName> = new Map<number, ErrorName>([
  [Code.Canceled, 'CANCELLED'],
  [Code.Unknown, 'UNKNOWN_ERROR'],
  [Code.InvalidArgument, 'INVALID_REQUEST'],
  [Code.DeadlineExceeded, 'TIMEOUT'],
  [Code.NotFound, 'INVALID_REQUEST'],
  [Code.AlreadyExists, 'INVALID_REQUEST'],
  [Code.PermissionDenied, 'UNAUTHORIZED'],
  [Code.ResourceExhausted, 'LIMIT_EXCEEDED'],
  [Code.FailedPrecondition, 'INVALID_REQUEST'],
  [Code.Aborted, 'NOT_AVAILABLE'],
  [Code.OutOfRange, 'OFFSET_OUT_OF_RANGE'],
  [Code.Unimplemented, 'UNIMPLEMENTED'],
  [Code.Internal, 'UNKNOWN_ERROR'],
  [Code.Unavailable, 'NOT_AVAILABLE'],
  [Code.DataLoss, 'CORRUPT_LOG'],
  [Code.Unauthenticated, 'UNAUTHENTICATED'],
]);

/** gRPC status number of a code. */
export function statusOf(code: ErrorName): number {
  return statusNumbers[errorCatalogue[code].status];
}

/** The code that stands for a bare status number, when the peer sent no ErrorResponse. */
export function errorNameOfStatus(status: number): ErrorName {
  return namesByStatus.get(status) ?? 'UNKNOWN_ERROR';
}

/** The detail message that carries a DomainError, in a status or inside a response body. */
export function toErrorResponse(error: DomainError): ErrorResponse {
  const response = create(ErrorResponseSchema, {
    code: errorNumber(error.code) as ErrorCode,
    message: boundText(error.message),
    retriable: error.retriable,
    leaderHint: boundText(error.leaderHint ?? ''),
  });
  if (error.retryAfterMs !== undefined) {
    const wholeMs = Math.max(0, Math.ceil(error.retryAfterMs));
    const seconds = Math.floor(wholeMs / 1_000);
    response.retryAfter = {
      $typeName: 'google.protobuf.Duration',
      seconds: BigInt(seconds),
      nanos: (wholeMs - seconds * 1_000) * 1_000_000,
    };
  }
  return response;
}

/** The reverse of `toErrorResponse`. A code that this version does not know is UNKNOWN_ERROR; `retriable` is kept as sent. */
export function fromErrorResponse(response: ErrorResponse, cause?: unknown): DomainError {
  const { retryAfter, leaderHint } = response;
  const code = errorName(response.code);
  return new DomainError(code, response.message === '' ? code : response.message, {
    retriable: response.retriable,
    ...(leaderHint === '' ? {} : { leaderHint }),
    ...(retryAfter === undefined ? {} : { retryAfterMs: Number(retryAfter.seconds) * 1_000 + retryAfter.nanos / 1e6 }),
    ...(cause === undefined ? {} : { cause }),
  });
}

/** The error that Connect sends for a DomainError, in each of its three protocols. */
export function toConnectError(error: DomainError): ConnectError {
  const detail = { desc: ErrorResponseSchema, value: toErrorResponse(error) };
  return new ConnectError(boundText(error.message), statusOf(error.code), undefined, [detail], error);
}

/** What a Connect client got, as a DomainError: the ErrorResponse if there is one, else by its status alone. */
export function fromConnectError(error: ConnectError): DomainError {
  if (isDomainError(error.cause)) return error.cause;
  const detail = error.findDetails(ErrorResponseSchema)[0];
  if (detail !== undefined) return fromErrorResponse(detail, error);
  return new DomainError(errorNameOfStatus(error.code), error.rawMessage, { cause: error });
}

/**
 * Makes a DomainError of anything that was thrown. What nobody foresaw becomes UNKNOWN_ERROR with an id: the text is
 * generic, the log line with the same id has the rest (level error for a failed assertion, warn for the others).
 */
export function toDomainError(thrown: unknown, logger: Logger): DomainError {
  if (isDomainError(thrown)) return thrown;
  if (thrown instanceof ConnectError) return fromConnectError(thrown);
  if (thrown instanceof Error && thrown.name === 'AbortError') {
    return isDomainError(thrown.cause) ? thrown.cause : new DomainError('CANCELLED', 'the call was cancelled');
  }
  const errorId = randomUUID();
  const fields = { errorId, err: thrown };
  if (thrown instanceof AssertionFailure) logger.error(fields, 'assertion failed in a call');
  else logger.warn(fields, 'unexpected error in a call');
  return new DomainError('UNKNOWN_ERROR', `internal error ${errorId}`, { cause: thrown });
}
