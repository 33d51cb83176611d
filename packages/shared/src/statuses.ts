/**
 * How errors travel, for both ends: the number of each gRPC status, the error that a bare status stands for (a foreign
 * server, a proxy, the transport itself), and the error in a `rustmq.common.ErrorResponse`. Never matches on texts.
 * Statuses: https://grpc.io/docs/guides/status-codes
 */
import { DomainError, type ErrorName, errorCatalogue, errorName, type StatusName } from './errors.ts';

const statuses: Readonly<Record<StatusName, { readonly number: number; readonly means: ErrorName }>> = {
  canceled: { number: 1, means: 'CANCELLED' },
  unknown: { number: 2, means: 'UNKNOWN_ERROR' },
  invalid_argument: { number: 3, means: 'INVALID_REQUEST' },
  deadline_exceeded: { number: 4, means: 'TIMEOUT' },
  not_found: { number: 5, means: 'INVALID_REQUEST' },
  already_exists: { number: 6, means: 'INVALID_REQUEST' },
  permission_denied: { number: 7, means: 'UNAUTHORIZED' },
  resource_exhausted: { number: 8, means: 'LIMIT_EXCEEDED' },
  failed_precondition: { number: 9, means: 'INVALID_REQUEST' },
  aborted: { number: 10, means: 'NOT_AVAILABLE' },
  out_of_range: { number: 11, means: 'OFFSET_OUT_OF_RANGE' },
  unimplemented: { number: 12, means: 'UNIMPLEMENTED' },
  internal: { number: 13, means: 'UNKNOWN_ERROR' },
  unavailable: { number: 14, means: 'NOT_AVAILABLE' },
  data_loss: { number: 15, means: 'CORRUPT_LOG' },
  unauthenticated: { number: 16, means: 'UNAUTHENTICATED' },
};

const namesByStatus: ReadonlyMap<number, ErrorName> = new Map(
  Object.values(statuses).map(({ number, means }) => [number, means]),
);

/** gRPC status number of a code. */
export function statusOf(code: ErrorName): number {
  return statuses[errorCatalogue[code].status].number;
}

/** The code that stands for a bare status number, when the peer sent no ErrorResponse. */
export function errorNameOfStatus(status: number): ErrorName {
  return namesByStatus.get(status) ?? 'UNKNOWN_ERROR';
}

/** The fields of a `rustmq.common.ErrorResponse`. */
export interface ErrorResponseFields {
  readonly code: number;
  readonly message: string;
  readonly retriable: boolean;
  /** Empty: none. */
  readonly leaderHint: string;
  readonly retryAfter?: { readonly seconds: bigint; readonly nanos: number } | undefined;
}

/** The error that a peer sent. A code that this version does not know is UNKNOWN_ERROR; `retriable` is kept as sent. */
export function fromErrorResponse(response: ErrorResponseFields, cause?: unknown): DomainError {
  const { retryAfter, leaderHint } = response;
  const code = errorName(response.code);
  return new DomainError(code, response.message === '' ? code : response.message, {
    retriable: response.retriable,
    ...(leaderHint === '' ? {} : { leaderHint }),
    ...(retryAfter === undefined ? {} : { retryAfterMs: Number(retryAfter.seconds) * 1_000 + retryAfter.nanos / 1e6 }),
    ...(cause === undefined ? {} : { cause }),
  });
}
