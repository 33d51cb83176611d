/** Registers: read, write, compare-and-set. One per key; empty (null) at first. */
import { unreachable } from '@fleetmq/shared';
import type { OperationOf } from './history.ts';
import type { Model } from './model.ts';

interface Keyed {
  readonly key: string;
}

interface RegisterCalls {
  readonly read: { readonly input: Keyed; readonly output: number | null };
  readonly write: { readonly input: Keyed & { readonly value: number }; readonly output: null };
  /** Whether it was set. */
  readonly compareAndSet: {
    readonly input: Keyed & { readonly expected: number | null; readonly value: number };
    readonly output: boolean;
  };
}

export type RegisterOperation = OperationOf<RegisterCalls>;

export type RegisterState = number | null;

export const registerModel: Model<RegisterState, RegisterOperation> = {
  keyOf: ({ input }) => input.key,
  initial: null,
  step,
  effectOf: ({ kind, input }) => (kind === 'read' ? undefined : JSON.stringify(input)),
  identify: String,
  describeState: (state) => (state === null ? 'empty' : String(state)),
  describe,
};

function step(state: RegisterState, operation: RegisterOperation): RegisterState | undefined {
  switch (operation.kind) {
    case 'read':
      return operation.output === undefined || operation.output === state ? state : undefined;
    case 'write':
      return operation.input.value;
    case 'compareAndSet': {
      const { input, output } = operation;
      const isEqual = state === input.expected;
      if (output === undefined) return isEqual ? input.value : undefined;
      if (output !== isEqual) return undefined;
      return isEqual ? input.value : state;
    }
    default:
      return unreachable(operation);
  }
}

function describe(operation: RegisterOperation): string {
  const { kind, input, output } = operation;
  const asked =
    kind === 'read' ? '' : kind === 'write' ? ` ${input.value}` : ` ${input.expected ?? 'empty'} to ${input.value}`;
  const answer = output === undefined ? 'unknown' : output === null ? (kind === 'read' ? 'empty' : 'done') : output;
  return `${kind}${asked}: ${answer}`;
}
