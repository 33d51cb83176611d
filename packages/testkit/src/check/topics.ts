/**
 * Topics as operators see them, name by name: absent, or present with an id, a number of partitions and the topic's own
 * value of one setting. Ids are given out once: the id of a creation whose answer was lost is the one that is read later.
 *
 * Refusals are answers: they say what the state was. Of unknown outcome is also a creation that ended with TOPIC_NOT_FOUND:
 * the topic was made and deleted at once.
 */
import { unreachable } from '@fleetmq/shared';
import type { OperationOf } from './history.ts';
import type { Model } from './model.ts';

interface Named {
  readonly name: string;
}

/** The answer's metadata version. */
interface Versioned {
  readonly version: number;
}

interface Refusal<Code extends string> {
  readonly refused: Code;
}

interface TopicCalls {
  readonly createTopic: {
    readonly input: Named & { readonly partitions: number };
    readonly output: (Versioned & { readonly topicId: string }) | Refusal<'TOPIC_ALREADY_EXISTS'>;
  };
  readonly deleteTopic: { readonly input: Named; readonly output: Versioned | Refusal<'TOPIC_NOT_FOUND'> };
  readonly alterTopic: {
    readonly input: Named & { readonly value: string };
    readonly output: Versioned | Refusal<'TOPIC_NOT_FOUND'>;
  };
  /** INVALID_REQUEST: it has as many already. */
  readonly addPartitions: {
    readonly input: Named & { readonly total: number };
    readonly output: Versioned | Refusal<'TOPIC_NOT_FOUND' | 'INVALID_REQUEST'>;
  };
  readonly describeTopic: {
    readonly input: Named;
    readonly output: (Versioned & TopicDescription) | Refusal<'TOPIC_NOT_FOUND'>;
  };
}

export interface TopicDescription {
  readonly topicId: string;
  readonly partitions: number;
  /** Null: the topic has none of its own. */
  readonly value: string | null;
}

export type TopicOperation = OperationOf<TopicCalls>;

/** Null: absent. An id of null is not known yet. */
export type TopicState = null | (Omit<TopicDescription, 'topicId'> & { readonly topicId: string | null });

/** `operations`: the whole history. */
export function topicModel(operations: readonly TopicOperation[]): Model<TopicState, TopicOperation> {
  const answeredIds = idsOfCreations(operations);
  const readValues = valuesOfDescriptions(operations);
  return {
    keyOf: ({ input }) => input.name,
    initial: null,
    step: (state, operation) => step(state, operation, answeredIds),
    effectOf: (operation) => effectOf(operation, readValues),
    identify: (state) => (state === null ? '' : `${state.topicId} ${state.partitions} ${state.value}`),
    describeState,
    describe,
  };
}

function idsOfCreations(operations: readonly TopicOperation[]): ReadonlySet<string> {
  const ids = new Set<string>();
  for (const { kind, output } of operations) {
    if (kind === 'createTopic' && output !== undefined && 'topicId' in output) ids.add(output.topicId);
  }
  return ids;
}

function valuesOfDescriptions(operations: readonly TopicOperation[]): ReadonlySet<string | null> {
  const values = new Set<string | null>();
  for (const { kind, output } of operations) {
    if (kind === 'describeTopic' && output !== undefined && 'value' in output) values.add(output.value);
  }
  return values;
}

/** A value that nobody has read may as well never have been set: it stands in nobody's way. */
function effectOf({ kind, input }: TopicOperation, readValues: ReadonlySet<string | null>): string | undefined {
  switch (kind) {
    case 'createTopic':
      return `create ${input.partitions}`;
    case 'deleteTopic':
      return 'delete';
    case 'alterTopic':
      return readValues.has(input.value) ? `set ${input.value}` : undefined;
    case 'addPartitions':
      return `add ${input.total}`;
    case 'describeTopic':
      return undefined;
    default:
      return unreachable(kind);
  }
}

function step(state: TopicState, operation: TopicOperation, answeredIds: ReadonlySet<string>): TopicState | undefined {
  switch (operation.kind) {
    case 'createTopic': {
      const { input, output } = operation;
      if (isRefused(output)) return state === null ? undefined : state;
      if (state !== null) return undefined;
      return { topicId: output?.topicId ?? null, partitions: input.partitions, value: null };
    }
    case 'deleteTopic':
      if (isRefused(operation.output)) return state === null ? state : undefined;
      return state === null ? undefined : null;
    case 'alterTopic':
      if (isRefused(operation.output)) return state === null ? state : undefined;
      return state === null ? undefined : { ...state, value: operation.input.value };
    case 'addPartitions': {
      const { output, input } = operation;
      const hasAsMany = state !== null && state.partitions >= input.total;
      if (isRefused(output)) {
        const isRight = output.refused === 'INVALID_REQUEST' ? hasAsMany : state === null;
        return isRight ? state : undefined;
      }
      return state === null || hasAsMany ? undefined : { ...state, partitions: input.total };
    }
    case 'describeTopic':
      return stepDescription(state, operation.output, answeredIds);
    default:
      return unreachable(operation);
  }
}

/** A description changes nothing, but it may be the first to tell an id. */
function stepDescription(
  state: TopicState,
  output: TopicCalls['describeTopic']['output'] | undefined,
  answeredIds: ReadonlySet<string>,
): TopicState | undefined {
  if (output === undefined) return state;
  if (isRefused(output)) return state === null ? state : undefined;
  if (state === null || state.partitions !== output.partitions || state.value !== output.value) return undefined;
  const { topicId } = output;
  if (state.topicId === null) return answeredIds.has(topicId) ? undefined : { ...state, topicId };
  return state.topicId === topicId ? state : undefined;
}

function isRefused(output: object | undefined): output is Refusal<string> {
  return output !== undefined && 'refused' in output;
}

function describeState(state: TopicState): string {
  if (state === null) return 'absent';
  const { topicId, partitions, value } = state;
  return `id ${topicId ?? 'unknown'}, partitions ${partitions}, value ${value ?? 'none'}`;
}

function describe({ kind, input, output }: TopicOperation): string {
  const { name, ...rest } = input;
  const asked = Object.entries(rest).map(([field, value]) => ` ${field} ${value}`);
  const answer = output === undefined ? 'unknown' : isRefused(output) ? output.refused : formatAnswer(output);
  return `${kind} ${name}${asked.join(',')}: ${answer}`;
}

function formatAnswer(output: Versioned & Partial<TopicDescription>): string {
  return Object.entries(output)
    .map(([field, value]) => `${field} ${value ?? 'none'}`)
    .join(', ');
}
