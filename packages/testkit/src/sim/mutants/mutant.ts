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
  return patch(
    StateMachine.prototype,
    'apply',
    (real) =>
      function apply(this: StateMachine, entry) {
        const hasCommand = entry.type === 'EntryNormal' && entry.data.length > 0;
        real.call(this as never, (hasCommand ? change(entry, this) : entry) as never);
      },
  );
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
