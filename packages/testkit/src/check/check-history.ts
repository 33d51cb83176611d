/** A whole history, key by key: how many keys could have been answered that way, and in words what is wrong with the others. */
import type { Operation } from './history.ts';
import { checkLinearizable, type Verdict, type Violation } from './linearizable.ts';
import type { Model } from './model.ts';

export interface CheckOptions {
  /** Of the model, per key. Default 20,000,000. */
  readonly stepsMax?: number;
  /** Per key. Default 60 s. */
  readonly timeMaxMs?: number;
  /** The monotonic clock. */
  readonly nowMs: () => number;
}

export interface HistoryReport {
  readonly keys: number;
  readonly operations: number;
  readonly steps: number;
  /** One text per key. */
  readonly violations: readonly string[];
  /** Keys whose search took too long. */
  readonly gaveUp: readonly string[];
}

export function checkHistory<State, Op extends Operation>(
  model: Model<State, Op>,
  operations: readonly Op[],
  options: CheckOptions,
): HistoryReport {
  const { stepsMax = 20_000_000, timeMaxMs = 60_000, nowMs } = options;
  const violations: string[] = [];
  const gaveUp: string[] = [];
  const byKey = Map.groupBy(operations, (operation) => model.keyOf(operation));
  let steps = 0;
  for (const [key, ofKey] of byKey) {
    const endMs = nowMs() + timeMaxMs;
    const verdict: Verdict<State, Op> = checkLinearizable(model, ofKey, {
      stepsMax,
      hasTime: () => nowMs() < endMs,
    });
    steps += verdict.steps;
    if (verdict.kind === 'gave-up') gaveUp.push(key);
    if (verdict.kind === 'violation') violations.push(describeViolation(model, key, verdict.violation));
  }
  return { keys: byKey.size, operations: operations.length, steps, violations, gaveUp };
}

/** What cannot be, what was possible before it, and what else was going on. */
function describeViolation<State, Op extends Operation>(
  model: Model<State, Op>,
  key: string,
  { operation, prefixLength, before, open }: Violation<State, Op>,
): string {
  const line = (each: Op): string => `    ${describeTimes(each)} process ${each.process}: ${model.describe(each)}`;
  const alternatives = before.flatMap(({ state, last }) => [
    `  it could have been: ${model.describeState(state)}, after`,
    ...(last.length === 0 ? ['    nothing'] : last.map(line)),
  ]);
  return [
    `${key}: no order explains the answer of`,
    line(operation),
    ...alternatives,
    `  under way then, or of unknown outcome: ${open.length === 0 ? 'nothing' : ''}`.trimEnd(),
    ...open.map(line),
    `  (${prefixLength} operations up to there)`,
  ].join('\n');
}

function describeTimes({ invokedMs, returnedMs }: Operation): string {
  return `[${invokedMs.toFixed(1)}, ${returnedMs === Number.POSITIVE_INFINITY ? '?' : returnedMs.toFixed(1)}]`;
}
