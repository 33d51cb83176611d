/**
 * What a planted bug is, and the two ways to plant one from the outside, so that the product has no switch for any of them:
 * patching methods of classes, and twisting the ports of a node. `plant` changes this process until the returned function
 * undoes it: one mutant at a time.
 */
import { type NodePorts, StateMachine } from '@fleetmq/controller/sim';
import type { Entry } from '@fleetmq/raft';
import type { ClusterTwists } from '../controllers/cluster.ts';
import type { FaultKind } from '../seed.ts';

export interface Mutant {
  readonly name: string;
  /** What it leaves out. */
  readonly about: string;
  /** Patches classes; returns what undoes it. */
  readonly plant?: () => () => void;
  readonly twists?: ClusterTwists;
  /** The faults that bring it out; default: those of the seed. For what needs a rare order of rare faults. */
  readonly faults?: readonly FaultKind[];
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
