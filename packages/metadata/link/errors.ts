/**
 * What a transport threw, as a DomainError. FleetMQ's lane throws DomainErrors itself; Connect's own transports throw
 * ConnectErrors, which carry ErrorResponse as a detail or a DomainError as their cause.
 */
import { Code, ConnectError } from '@connectrpc/connect';
import { ErrorResponseSchema } from '@fleetmq/gen/common/errors';
import { durationFromProto } from '@fleetmq/metadata/wire';
import { DomainError, type ErrorName, errorName, isDomainError } from '@fleetmq/shared';

const codesWithoutDetail: ReadonlyMap<Code, ErrorName> = new Map<Code, ErrorName>([
  [Code.Unavailable, 'NOT_AVAILABLE'],
  [Code.DeadlineExceeded, 'TIMEOUT'],
  [Code.Canceled, 'CANCELLED'],
  [Code.Unimplemented, 'UNIMPLEMENTED'],
]);

/** A bare `unavailable` may be a connection that was lost under the call: its outcome counts as unknown. */
export function errorOf(thrown: unknown): DomainError {
  if (isDomainError(thrown)) return thrown;
  if (!(thrown instanceof ConnectError)) return new DomainError('UNKNOWN_ERROR', 'a call failed', { cause: thrown });
  if (isDomainError(thrown.cause)) return thrown.cause;
  const detail = thrown.findDetails(ErrorResponseSchema)[0];
  if (detail === undefined) {
    const code = codesWithoutDetail.get(thrown.code) ?? 'UNKNOWN_ERROR';
    return new DomainError(code, thrown.rawMessage, {
      cause: thrown,
      outcomeUnknown: thrown.code !== Code.Unimplemented,
    });
  }
  const retryAfterMs = durationFromProto(detail.retryAfter, 'retry_after');
  return new DomainError(errorName(detail.code), detail.message, {
    retriable: detail.retriable,
    ...(detail.leaderHint === '' ? {} : { leaderHint: detail.leaderHint }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    cause: thrown,
  });
}
