/**
 * What the wire says, as DomainErrors. Two levels, one class: a failed call brings a status with an ErrorResponse, a failed
 * partition brings codes in the body. Statuses without an ErrorResponse come from foreign servers, proxies and the transport.
 *
 * `isOutcomeUnknown` is the client's one judgement on writes: only an answer that says "not written" means not written.
 */
import { Code, ConnectError } from '@connectrpc/connect';
import { ErrorResponseSchema } from '@fleetmq/gen/common/errors';
import {
  DomainError,
  type DomainErrorOptions,
  type ErrorName,
  errorName,
  errorNameOfStatus,
  fromErrorResponse,
  isDomainError,
} from '@fleetmq/shared';

interface WireDuration {
  readonly seconds: bigint;
  readonly nanos: number;
}

/** A google.protobuf.Duration in milliseconds. */
function durationMs(duration: WireDuration): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

/** The fields of a google.protobuf.Duration. `ms` is 0 or more. */
export function toDuration(ms: number): { seconds: bigint; nanos: number } {
  const whole = Math.ceil(ms);
  return { seconds: BigInt(Math.floor(whole / 1000)), nanos: (whole % 1000) * 1_000_000 };
}

/** Anything that a transport throws, as a DomainError. */
export function toClientError(thrown: unknown): DomainError {
  if (isDomainError(thrown)) return thrown;
  if (thrown instanceof ConnectError) {
    if (isDomainError(thrown.cause)) return thrown.cause;
    const detail = thrown.findDetails(ErrorResponseSchema)[0];
    if (detail !== undefined) return fromErrorResponse(detail, thrown);
    // fetch says no more than TypeError when there is no connection (https://fetch.spec.whatwg.org, "network error").
    const isUnreachable = thrown.code === Code.Unknown && thrown.cause instanceof TypeError;
    const code = isUnreachable ? 'NOT_AVAILABLE' : errorNameOfStatus(thrown.code);
    return new DomainError(code, thrown.rawMessage, { cause: thrown });
  }
  if (thrown instanceof Error && thrown.name === 'AbortError') return cancelled(thrown);
  return new DomainError('UNKNOWN_ERROR', `unexpected failure of the transport: ${String(thrown)}`, { cause: thrown });
}

/** CANCELLED: the caller's own signal. */
export function cancelled(reason: unknown): DomainError {
  return isDomainError(reason) ? reason : new DomainError('CANCELLED', 'the caller gave up', { cause: reason });
}

/** The error fields that responses and their partition results have in common. */
export interface WireResult {
  readonly errorCode: number;
  readonly errorMessage: string;
  readonly leaderHint?: string;
  readonly retriable?: boolean;
  readonly retryAfter?: WireDuration | undefined;
}

/** The error of a body or of one of its results; undefined for OK. `what` names the thing, for the text. */
export function errorOfResult(result: WireResult, what: string): DomainError | undefined {
  if (result.errorCode === 0) return undefined;
  const code = errorName(result.errorCode);
  const options: { -readonly [Key in keyof DomainErrorOptions]: DomainErrorOptions[Key] } = {};
  if (result.leaderHint !== undefined && result.leaderHint !== '') options.leaderHint = result.leaderHint;
  if (result.retriable === true) options.retriable = true;
  if (result.retryAfter !== undefined) options.retryAfterMs = durationMs(result.retryAfter);
  return new DomainError(code, `${what}: ${result.errorMessage === '' ? code : result.errorMessage}`, options);
}

/** Passes a good body on and throws a bad one. */
export function checkBody<Body extends WireResult>(body: Body, what: string): Body {
  const error = errorOfResult(body, what);
  if (error !== undefined) throw error;
  return body;
}

const unknownOutcome: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'TIMEOUT',
  'CANCELLED',
  'NOT_AVAILABLE',
  'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
  'UNKNOWN_ERROR',
  'STORAGE_FAILED',
  'SHUTTING_DOWN',
]);

/** Whether a write that failed so may have happened after all. Every other code says that nothing was written. */
export function isOutcomeUnknown(error: DomainError): boolean {
  return error.outcomeUnknown || unknownOutcome.has(error.code);
}
