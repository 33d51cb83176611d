/**
 * What clients did and were told, as a history: operations with the moments of their call and of their answer, on one
 * monotonic clock. Outcomes: `ok` (answered; a refusal that tells something of the state is an answer, too), `fail`
 * (certainly not done), `info` (nobody knows: it may take effect at any moment after its call, or never).
 *
 * On disk a history is one JSON line per event (`invoke`, then `ok`, `fail` or `info`), in the order in which they
 * happened, so that a run can be kept and judged again. A process does one thing at a time; what has no second event is
 * `info`. The names follow Jepsen's.
 */
import { DomainError } from '@fleetmq/shared';

export type Outcome = 'ok' | 'fail' | 'info';

export interface Operation {
  readonly process: number;
  readonly kind: string;
  readonly input: unknown;
  /** Of `ok` alone. */
  readonly output: unknown;
  readonly outcome: Outcome;
  readonly invokedMs: number;
  /** Infinity for `info`. */
  readonly returnedMs: number;
}

/** The operations of a table of calls: a union that is told apart by `kind`. `output` is undefined unless the outcome is `ok`. */
export type OperationOf<Calls extends { readonly [Kind in keyof Calls]: CallType }> = {
  readonly [Kind in keyof Calls & string]: Omit<Operation, keyof CallType | 'kind'> & {
    readonly kind: Kind;
    readonly input: Calls[Kind]['input'];
    readonly output: Calls[Kind]['output'] | undefined;
  };
}[keyof Calls & string];

interface CallType {
  readonly input: unknown;
  readonly output: unknown;
}

export interface HistoryEvent {
  readonly type: 'invoke' | Outcome;
  readonly process: number;
  readonly timeMs: number;
  readonly kind: string;
  /** Of `invoke`. */
  readonly input?: unknown;
  /** Of `ok`. */
  readonly output?: unknown;
  /** Of `fail` and `info`: why, for people. */
  readonly error?: string;
}

/** One line, without its end. */
export function formatEvent(event: HistoryEvent): string {
  return JSON.stringify(event);
}

/** The events of a file. INVALID_REQUEST with the number of the first line that is no event; empty lines are skipped. */
export function parseEvents(text: string): readonly HistoryEvent[] {
  return text.split('\n').flatMap((line, position) => (line.trim() === '' ? [] : [parseEvent(line, position + 1)]));
}

/** By the moment of their call. INVALID_REQUEST when a process does two things at a time, or answers what nobody asked. */
export function operationsOf(events: readonly HistoryEvent[]): readonly Operation[] {
  const open = new Map<number, HistoryEvent>();
  const operations: Operation[] = [];
  for (const event of events) {
    const invoked = open.get(event.process);
    if (event.type === 'invoke') {
      if (invoked !== undefined) throw invalid(`process ${event.process} calls ${event.kind} during ${invoked.kind}`);
      open.set(event.process, event);
      continue;
    }
    if (invoked?.kind !== event.kind) {
      throw invalid(`process ${event.process} has an answer to ${event.kind}, which it did not call`);
    }
    open.delete(event.process);
    operations.push(operationOf(invoked, event));
  }
  for (const invoked of open.values()) operations.push(operationOf(invoked, { ...invoked, type: 'info' }));
  return operations.sort((left, right) => left.invokedMs - right.invokedMs);
}

function operationOf(invoked: HistoryEvent, { type, timeMs, output }: HistoryEvent): Operation {
  const { process, kind, input } = invoked;
  const outcome = type as Outcome;
  return {
    process,
    kind,
    input,
    output: outcome === 'ok' ? output : undefined,
    outcome,
    invokedMs: invoked.timeMs,
    returnedMs: outcome === 'info' ? Number.POSITIVE_INFINITY : timeMs,
  };
}

const types: readonly unknown[] = ['invoke', 'ok', 'fail', 'info'];

/** INVALID_REQUEST with the number of the line when it is no event. */
export function parseEvent(line: string, number: number): HistoryEvent {
  let event: Partial<HistoryEvent> | null;
  try {
    event = JSON.parse(line) as Partial<HistoryEvent> | null;
  } catch {
    throw invalid(`line ${number} is no JSON`);
  }
  const isEvent =
    typeof event === 'object' &&
    types.includes(event?.type) &&
    Number.isInteger(event?.process) &&
    Number.isFinite(event?.timeMs) &&
    typeof event?.kind === 'string';
  if (!isEvent) throw invalid(`line ${number} is no event of a history: ${line.slice(0, 200)}`);
  return event as HistoryEvent;
}

function invalid(text: string): DomainError {
  return new DomainError('INVALID_REQUEST', text);
}
