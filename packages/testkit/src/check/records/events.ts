/**
 * The history of records: what clients sent, polled and were told, one event per line of JSON, in the order in which it happened.
 * The envelope is that of `../history.ts`; `id` joins the events of one operation, since a producer has many under way. Simulated and
 * real clients write the same lines.
 *
 * A value stands for its record: it is sent once to its partition and never again, not even by whoever repeats a send that has
 * failed. Partitions are named `topic/number`. The names of operations follow Jepsen's kafka workload.
 */
import { DomainError } from '@fleetmq/shared';
import { type HistoryEvent, parseEvent } from '../history.ts';

/** At which acknowledgment a send is answered; a number is that many replicas. */
export type Acks = 'none' | 'leader' | 'majority' | 'all' | number;

export interface SendPart {
  readonly partition: string;
  /** In the order in which they are sent. */
  readonly values: readonly string[];
  /** One per value, for topics that are compacted. */
  readonly keys?: readonly (string | null)[];
}

export interface SendInput {
  readonly sends: readonly SendPart[];
  /** Default `all`. */
  readonly acks?: Acks;
  /** Default true: the producer's id and sequence numbers keep the order of what it has under way. */
  readonly idempotent?: boolean;
}

export interface SendOutput {
  /** One per value, over all parts; null: the answer names none. */
  readonly offsets: readonly (number | null)[];
}

export interface PollPart {
  readonly partition: string;
  /** In the order in which they were handed over. */
  readonly records: readonly (readonly [offset: number, value: string])[];
}

export interface PollOutput {
  readonly polls: readonly PollPart[];
  /** Partitions that the process got or lost meanwhile, or whose position it was told to set anew. */
  readonly rebalanced?: readonly string[];
}

export type Isolation = 'read-committed' | 'read-uncommitted';

export interface AssignInput {
  readonly partitions: readonly string[];
  /** `earliest`: the process is known to begin at the start of the log. */
  readonly from?: 'earliest';
  /** Of the polls to come. Default `read-committed`. */
  readonly isolation?: Isolation;
}

export interface SubscribeInput {
  readonly topics: readonly string[];
  readonly isolation?: Isolation;
}

/** `txn` is a transaction of sends and polls; `fail` says that it was aborted. */
export interface RecordCalls {
  readonly send: { readonly input: SendInput; readonly output: SendOutput };
  readonly poll: { readonly input: object; readonly output: PollOutput };
  readonly txn: { readonly input: SendInput; readonly output: SendOutput & PollOutput };
  readonly assign: { readonly input: AssignInput; readonly output: object };
  readonly subscribe: { readonly input: SubscribeInput; readonly output: object };
}

export type RecordKind = keyof RecordCalls;
export const recordKinds: readonly RecordKind[] = ['send', 'poll', 'txn', 'assign', 'subscribe'];

/** What a run cannot be blamed for, and the history alone does not tell. */
export interface Exemptions {
  /** By partition: the first offset that retention or DeleteRecords has left. */
  readonly logStarts?: Readonly<Record<string, number>>;
  /** Topics with an `unsafe-*` flush policy, in a run in which the power was lost. */
  readonly unsafeFlush?: readonly string[];
  /** Topics that are compacted: of records of one key all but the last may be gone. */
  readonly compacted?: readonly string[];
}

interface Head {
  readonly process: number;
  readonly timeMs: number;
}

interface CallHead extends Head {
  /** Of the operation; no other one of the history has it. */
  readonly id: number;
}

export type CallEvent = {
  [Kind in RecordKind]:
    | (CallHead & { readonly kind: Kind; readonly type: 'invoke'; readonly input: RecordCalls[Kind]['input'] })
    | (CallHead & { readonly kind: Kind; readonly type: 'ok'; readonly output: RecordCalls[Kind]['output'] })
    /** `error` is for people, and begins with its code. */
    | (CallHead & { readonly kind: Kind; readonly type: 'fail' | 'info'; readonly error: string });
}[RecordKind];

/** Of no client: all faults are over, or something is exempt. */
export type NoteEvent =
  | (Head & { readonly kind: 'healed'; readonly type: 'info' })
  | (Head & { readonly kind: 'exempt'; readonly type: 'info'; readonly input: Exemptions });

export type RecordEvent = CallEvent | NoteEvent;

/** INVALID_REQUEST with the number of the line when it is no event of a history of records. */
export function parseRecordEvent(line: string, number: number): RecordEvent {
  const event = parseEvent(line, number) as HistoryEvent & { readonly id?: unknown };
  if (!isRecordEvent(event)) {
    throw new DomainError('INVALID_REQUEST', `line ${number} is no event of records: ${line.slice(0, 200)}`);
  }
  return event as unknown as RecordEvent;
}

function isRecordEvent({ type, kind, id, input, output }: HistoryEvent & { readonly id?: unknown }): boolean {
  if (kind === 'healed' || kind === 'exempt') return type === 'info' && (kind === 'healed' || isObject(input));
  if (!recordKinds.includes(kind as RecordKind) || !Number.isSafeInteger(id)) return false;
  if (type === 'invoke') return isInput(kind as RecordKind, input);
  return type !== 'ok' || isOutput(kind as RecordKind, output);
}

function isInput(kind: RecordKind, input: unknown): boolean {
  if (kind === 'poll') return true;
  if (!isObject(input)) return false;
  if (kind === 'assign') return isListOf(input['partitions'], isText);
  if (kind === 'subscribe') return isListOf(input['topics'], isText);
  return isListOf(input['sends'], isSendPart);
}

function isOutput(kind: RecordKind, output: unknown): boolean {
  if (kind === 'assign' || kind === 'subscribe') return true;
  if (!isObject(output)) return false;
  const { offsets, polls, rebalanced } = output;
  const sends = kind === 'poll' || isListOf(offsets, (each) => each === null || isOffset(each));
  const reads = kind === 'send' || (isListOf(polls, isPollPart) && isListOf(rebalanced ?? [], isText));
  return sends && reads;
}

function isSendPart(part: unknown): boolean {
  if (!isObject(part)) return false;
  const { partition, values, keys } = part;
  if (!isText(partition) || !isListOf(values, isText)) return false;
  return keys === undefined || (Array.isArray(keys) && keys.length === (values as readonly string[]).length);
}

function isPollPart(part: unknown): boolean {
  if (!isObject(part) || !isText(part['partition'])) return false;
  return isListOf(part['records'], (each) => Array.isArray(each) && isOffset(each[0]) && isText(each[1]));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function isListOf(value: unknown, isOne: (each: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(isOne);
}

function isText(value: unknown): boolean {
  return typeof value === 'string';
}

function isOffset(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
