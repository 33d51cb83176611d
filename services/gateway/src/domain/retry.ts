/**
 * What follows a failed attempt at a partition's leader. The rule that matters: a write whose outcome is unknown is repeated
 * only when the broker can recognise it (`isSafe`); everything else gets a TIMEOUT that says so. A code that promises
 * "nothing was written" may always be repeated, and is believed only while no earlier attempt had an unknown outcome.
 */
import { DomainError, type ErrorName, errorCatalogue } from '@fleetmq/shared';

/** `retry`: ask the leader again, after a look at the metadata. `answer`: pass the failure on. `unknown`: see above. */
export type RetryStep = 'retry' | 'answer' | 'unknown';

export interface Failure {
  readonly code: ErrorName;
  readonly message: string;
  /** The attempt may have been carried out. */
  readonly outcomeUnknown: boolean;
}

/** Codes that leave it open whether the attempt was carried out, whoever says them. */
const openCodes: ReadonlySet<ErrorName> = new Set(['TIMEOUT', 'SHUTTING_DOWN', 'CANCELLED']);

/** A failure that a broker named in the body of its answer. */
export function failureInBody(code: ErrorName, message: string): Failure {
  return { code, message, outcomeUnknown: openCodes.has(code) };
}

export function stepAfter(failure: Failure, isSafe: boolean): RetryStep {
  switch (failure.code) {
    case 'NOT_LEADER':
      return 'retry';
    case 'NOT_AVAILABLE':
      return failure.outcomeUnknown && !isSafe ? 'unknown' : 'retry';
    // A broker that stops, one that lost its leadership under a write, a connection of ours that was closed.
    case 'SHUTTING_DOWN':
    case 'CANCELLED':
    case 'TIMEOUT':
      return isSafe ? 'retry' : 'unknown';
    // This replica cannot go on; whether the batch is in its log decides nobody but the next leader.
    case 'STORAGE_FAILED':
      return isSafe ? 'retry' : 'answer';
    default:
      return 'answer';
  }
}

/** Whether a failure leaves it open that the write is in the log. */
export function isOpen(failure: Failure): boolean {
  return failure.outcomeUnknown || openCodes.has(failure.code);
}

/** Whether the answer to a later attempt still tells the truth behind one with unknown outcome: only what is final does. */
export function isFinal(code: ErrorName): boolean {
  return !errorCatalogue[code].retriable;
}

/** For a partition that nobody could be asked for until the time was over. A leader hint would name an internal address. */
export function unansweredError(what: string, waitedMs: number, last: string): DomainError {
  const text = `${what}: no leader could answer within ${Math.round(waitedMs)} ms (${last}): try again`;
  return new DomainError('NOT_AVAILABLE', text, { retryAfterMs: 100 });
}

/** For a write that may or may not be in the log. */
export function unknownError(what: string, last: string): DomainError {
  return new DomainError('TIMEOUT', `${what}: ${last}; the outcome is unknown, the records may have been written`);
}
