/**
 * What an error says about a change that was asked for: that it certainly was not made, or nothing. Never more than
 * docs/errors.md and the errors' own fields promise; a code that promises nothing is unknown.
 */
import type { DomainError, ErrorName } from '@fleetmq/shared';

/** Refused before anything could happen, or lost for certain (`Proposals` in services/controller/src/shell/propose.ts). */
const nothingHappened: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'NOT_LEADER',
  'NOT_AVAILABLE',
  'PROPOSAL_DROPPED',
  'LIMIT_EXCEEDED',
  'DISK_FULL',
  'INVALID_REQUEST',
  'INVALID_CONFIG',
  'INVALID_REPLICATION_FACTOR',
  'STALE_EPOCH',
  'TOPIC_NOT_FOUND',
  'TOPIC_ALREADY_EXISTS',
]);

export function outcomeOf({ code, outcomeUnknown }: DomainError): 'fail' | 'info' {
  if (outcomeUnknown) return 'info';
  // A deadline that passed before the call had left.
  if (code === 'TIMEOUT') return 'fail';
  return nothingHappened.has(code) ? 'fail' : 'info';
}
