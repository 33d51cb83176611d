/** How a run can fail, and the exit code of each kind. */

export type FailureKind = 'crash' | 'safety' | 'liveness' | 'generator';

export const exitCodes: Readonly<Record<FailureKind, number>> = { crash: 10, safety: 11, liveness: 12, generator: 13 };

export interface Failure {
  readonly kind: FailureKind;
  /** Of the invariant, in a few words; the same for every seed. */
  readonly name: string;
  readonly text: string;
  readonly atMs: number;
}
