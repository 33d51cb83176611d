/** The definition itself: every order of the operations that respects real time is tried. For a handful of operations. */
import type { Operation } from './history.ts';
import type { Model } from './model.ts';

export function isLinearizable<State, Op extends Operation>(
  model: Model<State, Op>,
  operations: readonly Op[],
): boolean {
  const tryFrom = (state: State, left: readonly Op[]): boolean => {
    if (left.every(({ outcome }) => outcome === 'info')) return true;
    return left.some((each) => {
      const mustComeFirst = left.some((other) => other !== each && other.returnedMs < each.invokedMs);
      if (mustComeFirst) return false;
      const next = model.step(state, each);
      const rest = left.filter((other) => other !== each);
      return next !== undefined && tryFrom(next, rest);
    });
  };
  return tryFrom(
    model.initial,
    operations.filter(({ outcome }) => outcome !== 'fail'),
  );
}
