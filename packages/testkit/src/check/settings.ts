/**
 * One of the cluster's settings as a register (UpdateClusterConfig, GetClusterConfig). A conditional change names a version
 * at which its caller has read a value: since all values differ, it must find just that value, and may be refused
 * (STALE_EPOCH) only when it does not.
 */
import { unreachable } from '@fleetmq/shared';
import type { OperationOf } from './history.ts';
import type { Model } from './model.ts';

interface Versioned {
  readonly version: number;
}

interface SettingCalls {
  readonly readSetting: {
    readonly input: Readonly<Record<string, never>>;
    /** Null: it was never set. */
    readonly output: Versioned & { readonly value: string | null };
  };
  readonly writeSetting: { readonly input: { readonly value: string }; readonly output: Versioned };
  readonly compareAndSetSetting: {
    /** `expected` was read at `expectedVersion`. */
    readonly input: {
      readonly expected: string | null;
      readonly expectedVersion: number;
      readonly value: string;
    };
    readonly output: Versioned | { readonly refused: 'STALE_EPOCH' };
  };
}

export type SettingOperation = OperationOf<SettingCalls>;

export type SettingState = string | null;

/** Stands for all values that nobody reads or expects: they cannot be told apart. */
const another = 'another';

/** `operations`: the whole history. */
export function settingModel(operations: readonly SettingOperation[]): Model<SettingState, SettingOperation> {
  const told = new Set<string | null>();
  for (const { kind, input, output } of operations) {
    if (kind === 'readSetting' && output !== undefined) told.add(output.value);
    if (kind === 'compareAndSetSetting') told.add(input.expected);
  }
  const written = (value: string): string => (told.has(value) ? value : another);
  return {
    keyOf: () => 'setting of the cluster',
    initial: null,
    step: (state, operation) => step(state, operation, written),
    effectOf: ({ kind, input }) => {
      if (kind === 'readSetting') return undefined;
      const expected = kind === 'writeSetting' ? 'anything' : String(input.expected);
      return `${expected} to ${written(input.value)}`;
    },
    identify: String,
    describeState: (state) => state ?? 'never set',
    describe: ({ kind, input, output }) =>
      `${kind} ${JSON.stringify(input)}: ${output === undefined ? 'unknown' : JSON.stringify(output)}`,
  };
}

function step(
  state: SettingState,
  operation: SettingOperation,
  written: (value: string) => string,
): SettingState | undefined {
  switch (operation.kind) {
    case 'readSetting':
      return operation.output === undefined || operation.output.value === state ? state : undefined;
    case 'writeSetting':
      return written(operation.input.value);
    case 'compareAndSetSetting': {
      const { input, output } = operation;
      const isAsExpected = state === input.expected;
      if (output !== undefined && 'refused' in output) return isAsExpected ? undefined : state;
      return isAsExpected ? written(input.value) : undefined;
    }
    default:
      return unreachable(operation);
  }
}
