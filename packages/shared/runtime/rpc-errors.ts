/**
 * The one mapping between DomainError and what Connect carries: a status with `rustmq.common.ErrorResponse` as its detail.
 * Both ways: `toConnectError` for servers, `fromConnectError` for clients; the lane's trailers carry the same.
 *
 * Invariants: the status of a code comes from the catalogue and nowhere else; a text that leaves the process is bounded,
 * well-formed Unicode; the detail of an unknown error (message, stack, paths) goes to the log, and only its id to the caller.
 */
import { randomUUID } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { ConnectError } from '@connectrpc/connect';
import { type ErrorCode, type ErrorResponse, ErrorResponseSchema } from '@fleetmq/gen/common/errors';
import {
  AssertionFailure,
  boundText,
  DomainError,
  errorNameOfStatus,
  errorNumber,
  fromErrorResponse,
  isDomainError,
  type Logger,
  statusOf,
} from '@fleetmq/shared';

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
