/** How a run can fail, and the exit code of each kind. */
import type { DomainError } from '@fleetmq/shared';

export type FailureKind = 'crash' | 'safety' | 'liveness' | 'generator';

export const exitCodes: Readonly<Record<FailureKind, number>> = { crash: 10, safety: 11, liveness: 12, generator: 13 };

export interface Failure {
  readonly kind: FailureKind;
  /** Of the invariant, in a few words; the same for every seed. */
  readonly name: string;
  readonly text: string;
  readonly atMs: number;
}

export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = (error as DomainError).cause;
  return `${error.stack ?? error.message}${cause === undefined ? '' : `\ncaused by: ${describeError(cause)}`}`;
}
