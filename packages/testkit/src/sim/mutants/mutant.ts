/**
 * What a planted bug is, and the two ways to plant one from the outside, so that the product has no switch for any of them:
 * patching methods of classes, and twisting the ports of a node. `plant` changes this process until the returned function
 * undoes it: one mutant at a time.
 */
import { type NodePorts, StateMachine } from '@fleetmq/controller/sim';
import type { Entry } from '@fleetmq/raft';
import type { ClusterTwists } from '../controllers/cluster.ts';
import type { SeedPart } from '../seed.ts';

export interface Mutant {
  readonly name: string;
  /** What it leaves out. */
  readonly about: string;
  /** Patches classes; returns what undoes it. */
  readonly plant?: () => () => void;
  readonly twists?: ClusterTwists;
  /** What brings it out, instead of what the seed draws: for what needs a rare order of rare events. */
  readonly fixed?: SeedPart;
}

type Method = (this: never, ...args: never[]) => unknown;

/** Replaces a method of a class until the result is called. `make` gets the real one. */
export function patch<Instance extends object, Name extends keyof Instance>(
  prototype: Instance,
  name: Name,
  make: (real: Instance[Name] & Method) => Instance[Name],
): () => void {
  const real = prototype[name];
  prototype[name] = make(real as Instance[Name] & Method);
  return () => {
    prototype[name] = real;
  };
}

type ArgumentsOf<Member> = Member extends (...args: infer Arguments) => unknown ? Arguments : never;
type AnswerOf<Member> = Member extends (...args: never[]) => infer Answer ? Answer : never;

interface RealMethod<Instance, Arguments extends unknown[], Answer> {
  withArguments(change: (args: Arguments, instance: Instance) => Arguments): () => void;
  withAnswer(change: (answer: Answer, instance: Instance) => Answer): () => void;
  /** For an answer that is waited for. */
  withAwaited(change: (answer: Awaited<Answer>, args: Arguments) => Awaited<Answer>): () => void;
}

/** Lets a method of a class do its work, but with other arguments or with another answer, until the result is called. */
export function method<Instance extends object, Name extends keyof Instance>(
  prototype: Instance,
  name: Name,
): RealMethod<Instance, ArgumentsOf<Instance[Name]>, AnswerOf<Instance[Name]>> {
  type Arguments = ArgumentsOf<Instance[Name]>;
  type Answer = AnswerOf<Instance[Name]>;
  const wrap = (work: (call: (args: Arguments) => Answer, args: Arguments, instance: Instance) => unknown) =>
    patch(prototype, name, (real) => {
      const wrapped = function (this: Instance, ...args: unknown[]): unknown {
        return work((given) => Reflect.apply(real, this, given) as Answer, args as Arguments, this);
      };
      return wrapped as Instance[Name];
    });
  return {
    withArguments: (change) => wrap((call, args, instance) => call(change(args, instance))),
    withAnswer: (change) => wrap((call, args, instance) => change(call(args), instance)),
    withAwaited: (change) => wrap(async (call, args) => change(await call(args), args)),
  };
}

/** Replaces a getter of a class until the result is called. `make` gets what the real one says. */
export function patchGetter<Instance extends object, Name extends keyof Instance>(
  prototype: Instance,
  name: Name,
  make: (value: Instance[Name], instance: Instance) => Instance[Name],
): () => void {
  const real = Object.getOwnPropertyDescriptor(prototype, name) as PropertyDescriptor;
  Object.defineProperty(prototype, name, {
    ...real,
    get(this: Instance) {
      return make(real.get?.call(this) as Instance[Name], this);
    },
  });
  return () => Object.defineProperty(prototype, name, real);
}

/** Several patches as one. */
export function together(...undos: readonly (() => void)[]): () => void {
  return () => {
    for (const undo of undos) undo();
  };
}

/** Each entry is changed before it is applied, on every node alike. */
export function patchCommands(change: (entry: Entry, machine: StateMachine) => Entry): () => void {
  return method(StateMachine.prototype, 'apply').withArguments(([entry], machine) => {
    const hasCommand = entry.type === 'EntryNormal' && entry.data.length > 0;
    return [hasCommand ? change(entry, machine) : entry];
  });
}

export function liar(test: RegExp): ClusterTwists {
  return {
    disk: (state) => {
      state.liesAbout = (path) => test.test(path);
    },
  };
}

export function twist(change: (ports: NodePorts) => Partial<NodePorts>): ClusterTwists {
  return { ports: (ports) => ({ ...ports, ...change(ports) }) };
}
