/**
 * Whether one object could have answered a history one operation at a time: each takes effect at some moment between its
 * call and its answer (Herlihy and Wing 1990). An operation of unknown outcome may take effect at any moment after its
 * call, or never; one that failed did not happen.
 *
 * The search of Wing and Gong (1993) with Lowe's improvements ("Testing for linearizability", 2017), as porcupine has them:
 * just in time, that is, an operation is placed only when an answer is due that needs it, and every configuration (state,
 * what is placed) is looked at once. Here all configurations go side by side from answer to answer, so the first answer that
 * none survives ends the shortest prefix that is wrong. Operations of unknown outcome never have to be placed, and would
 * multiply: of those that do the same the oldest is taken, and a configuration that differs from another only in having
 * used up more of them can do nothing that the other cannot, and is dropped.
 */
import type { Operation } from './history.ts';
import type { Model } from './model.ts';

export interface SearchLimits {
  /** Steps of the model. */
  readonly stepsMax: number;
  /** Asked now and then; false ends the search. */
  readonly hasTime: () => boolean;
}

export type Verdict<State, Op> =
  | { readonly kind: 'linearizable'; readonly steps: number }
  | { readonly kind: 'violation'; readonly steps: number; readonly violation: Violation<State, Op> }
  | { readonly kind: 'gave-up'; readonly steps: number };

export interface Violation<State, Op> {
  /** The answer that cannot be. Whatever was called later has no part in it. */
  readonly operation: Op;
  /** Operations up to and with it, of those that were called before it was answered. */
  readonly prefixLength: number;
  /** Every way in which all answers before it were possible; equal states once, at most 5. */
  readonly before: readonly PartialOrder<State, Op>[];
  /** Called, and not answered by then; of unknown outcome included. */
  readonly open: readonly Op[];
}

export interface PartialOrder<State, Op> {
  readonly state: State;
  /** What took effect last, oldest first; at most 8. */
  readonly last: readonly Op[];
}

/** A state, and how it came about. */
interface Configuration<State> {
  readonly state: State;
  /** Of the state and of `placed`. */
  readonly identity: string;
  /** Operations that took effect and have an answer to come, ascending. */
  readonly placed: readonly number[];
  /** Operations of unknown outcome that took effect, as bits, and how many these are. */
  readonly spent: bigint;
  readonly spentCount: number;
  readonly previous: Configuration<State> | undefined;
  /** What took effect last; -1: nothing has. */
  readonly operation: number;
}

const timeEverySteps = 1_024;
const alternativesMax = 5;
const lastMax = 8;

/** Of one key. */
export function checkLinearizable<State, Op extends Operation>(
  model: Model<State, Op>,
  operations: readonly Op[],
  limits: SearchLimits,
): Verdict<State, Op> {
  const search = new Search(model, operations, limits);
  for (const { operation, isReturn } of momentsOf(operations)) {
    if (!isReturn) search.call(operation);
    else if (!search.answer(operation)) return search.verdict(operation);
  }
  return { kind: 'linearizable', steps: search.steps };
}

class Search<State, Op extends Operation> {
  readonly #model: Model<State, Op>;
  readonly #operations: readonly Op[];
  readonly #limits: SearchLimits;
  /** Called, with an answer to come. */
  readonly #open = new Set<number>();
  /** Of unknown outcome, called by now, oldest first. Their positions here are their bits in `spent`. */
  readonly #unknown: number[] = [];
  /** The bits of those that do the same, by what they do. */
  readonly #alike = new Map<string, bigint[]>();
  #frontier: readonly Configuration<State>[];
  #hasGivenUp = false;
  steps = 0;

  constructor(model: Model<State, Op>, operations: readonly Op[], limits: SearchLimits) {
    this.#model = model;
    this.#operations = operations;
    this.#limits = limits;
    const state = model.initial;
    const identity = identityOf(model.identify(state), []);
    this.#frontier = [{ state, identity, placed: [], spent: 0n, spentCount: 0, previous: undefined, operation: -1 }];
  }

  call(operation: number): void {
    if (this.#at(operation).outcome !== 'info') {
      this.#open.add(operation);
      return;
    }
    const effect = this.#model.effectOf(this.#at(operation));
    if (effect === undefined) return;
    const alike = this.#alike.get(effect) ?? [];
    this.#alike.set(effect, [...alike, BigInt(this.#unknown.length)]);
    this.#unknown.push(operation);
  }

  /** Whether the answer is possible. */
  answer(due: number): boolean {
    const survivors = new Minimal<State>();
    const levels = new Levels<State>();
    for (const each of this.#frontier) {
      if (each.placed.includes(due)) survivors.add(this.#settled(each, due));
      else levels.add(each);
    }
    for (let each = levels.next(); each !== undefined; each = levels.next()) {
      for (const next of this.#successors(each)) {
        if (next.operation === due) survivors.add(this.#settled(next, due));
        else levels.add(next);
      }
      if (this.#hasGivenUp) return false;
    }
    if (survivors.size === 0) return false;
    this.#open.delete(due);
    this.#frontier = [...survivors.values()];
    return true;
  }

  /** After `answer` has said no. */
  verdict(due: number): Verdict<State, Op> {
    const { steps } = this;
    if (this.#hasGivenUp) return { kind: 'gave-up', steps };
    const byState = new Map(this.#frontier.map((each) => [this.#model.identify(each.state), each]));
    const operation = this.#at(due);
    const open = [...this.#open, ...this.#unknown].filter((each) => each !== due).map((each) => this.#at(each));
    const violation = {
      operation,
      prefixLength: this.#operations.filter(({ invokedMs }) => invokedMs <= operation.returnedMs).length,
      before: [...byState.values()].slice(0, alternativesMax).map((each) => this.#partialOrder(each)),
      open,
    };
    return { kind: 'violation', steps, violation };
  }

  *#successors(from: Configuration<State>): Iterable<Configuration<State>> {
    for (const operation of this.#open) {
      if (from.placed.includes(operation)) continue;
      const state = this.#step(from.state, operation);
      if (state === undefined) continue;
      const placed = [...from.placed, operation].sort((left, right) => left - right);
      yield this.#configuration(from, { state, operation, placed, spent: from.spent, spentCount: from.spentCount });
    }
    for (const bits of this.#alike.values()) {
      const bit = bits.find((each) => ((from.spent >> each) & 1n) === 0n);
      if (bit === undefined) continue;
      const operation = this.#unknown[Number(bit)] as number;
      const state = this.#step(from.state, operation);
      if (state === undefined) continue;
      const spent = from.spent | (1n << bit);
      const { placed } = from;
      yield this.#configuration(from, { state, operation, placed, spent, spentCount: from.spentCount + 1 });
    }
  }

  #configuration(
    previous: Configuration<State>,
    next: Omit<Configuration<State>, 'identity' | 'previous'>,
  ): Configuration<State> {
    const identity = identityOf(this.#model.identify(next.state), next.placed);
    return { ...next, identity, previous };
  }

  #step(state: State, operation: number): State | undefined {
    this.steps++;
    if (this.steps > this.#limits.stepsMax) this.#hasGivenUp = true;
    if (this.steps % timeEverySteps === 0 && !this.#limits.hasTime()) this.#hasGivenUp = true;
    return this.#hasGivenUp ? undefined : this.#model.step(state, this.#at(operation));
  }

  /** The same, once the answer to what was placed is out. */
  #settled(configuration: Configuration<State>, due: number): Configuration<State> {
    const placed = configuration.placed.filter((each) => each !== due);
    return { ...configuration, placed, identity: identityOf(this.#model.identify(configuration.state), placed) };
  }

  #partialOrder(configuration: Configuration<State>): PartialOrder<State, Op> {
    const last: Op[] = [];
    let each: Configuration<State> | undefined = configuration;
    for (; each !== undefined && each.operation >= 0 && last.length < lastMax; each = each.previous) {
      last.unshift(this.#at(each.operation));
    }
    return { state: configuration.state, last };
  }

  #at(operation: number): Op {
    return this.#operations[operation] as Op;
  }
}

/** Configurations of which none can do what another can, with less spent. */
class Minimal<State> {
  readonly #byIdentity = new Map<string, Configuration<State>[]>();
  size = 0;

  /** False: it was of no use. */
  add(configuration: Configuration<State>): boolean {
    const { identity, spent } = configuration;
    const rivals = this.#byIdentity.get(identity) ?? [];
    if (rivals.some((rival) => (rival.spent & spent) === rival.spent)) return false;
    const left = rivals.filter((rival) => (rival.spent & spent) !== spent);
    this.#byIdentity.set(identity, [...left, configuration]);
    this.size += 1 + left.length - rivals.length;
    return true;
  }

  *values(): Iterable<Configuration<State>> {
    for (const configurations of this.#byIdentity.values()) yield* configurations;
  }
}

/** Hands out each minimal configuration once, those with the least spent first, so that the others need not be looked at. */
class Levels<State> {
  readonly #seen = new Minimal<State>();
  readonly #levels: Configuration<State>[][] = [];

  add(configuration: Configuration<State>): void {
    if (!this.#seen.add(configuration)) return;
    this.#levels[configuration.spentCount] ??= [];
    this.#levels[configuration.spentCount]?.push(configuration);
  }

  next(): Configuration<State> | undefined {
    return this.#levels.find((level) => level !== undefined && level.length > 0)?.pop();
  }
}

interface Moment {
  readonly timeMs: number;
  readonly operation: number;
  readonly isReturn: boolean;
}

/** Calls and answers in order. At one moment calls come first: what touches counts as concurrent. */
function momentsOf(operations: readonly Operation[]): readonly Moment[] {
  const moments: Moment[] = [];
  for (const [operation, { outcome, invokedMs, returnedMs }] of operations.entries()) {
    if (outcome === 'fail') continue;
    moments.push({ timeMs: invokedMs, operation, isReturn: false });
    if (outcome === 'ok') moments.push({ timeMs: returnedMs, operation, isReturn: true });
  }
  return moments.sort((left, right) => left.timeMs - right.timeMs || Number(left.isReturn) - Number(right.isReturn));
}

function identityOf(state: string, placed: readonly number[]): string {
  return `${state}|${placed.join()}`;
}
