/**
 * What a checker knows of the object under test: which state there may be, and what an operation does to it. A model is
 * pure, and its states are values.
 */
import type { Operation } from './history.ts';

export interface Model<State, Op extends Operation> {
  /** Operations of different keys do not see each other: each key is checked for itself. */
  keyOf(operation: Op): string;
  readonly initial: State;
  /**
   * The state after the operation took effect in this one. Undefined: it cannot have, with this answer. Without an answer
   * (`info`) whatever it may have done.
   */
  step(state: State, operation: Op): State | undefined;
  /**
   * Of an operation of unknown outcome: what it would do. Equal texts for operations that can stand for each other; undefined
   * when no answer in the history can tell whether it happened.
   */
  effectOf(operation: Op): string | undefined;
  /** Equal texts for equal states alone. */
  identify(state: State): string;
  /** For people. */
  describeState(state: State): string;
  /** What was asked for and answered, for people. */
  describe(operation: Op): string;
}
