/**
 * Fetch over many leaders. With one leader its long poll is the caller's. With several the first look is without a wait: it
 * finds what is there and learns every partition's watermarks. Only when that is too little do all leaders poll at once; as
 * soon as enough has come the answer goes out, the other polls are cancelled, and their partitions answer with the first look.
 *
 * Failed partitions are asked for again while there is nothing else to answer with and time is left; what has moved its
 * leader never reaches the caller as NOT_LEADER.
 */
import { ConsumerService } from '@fleetmq/gen/client/consumer';
import { DomainError, isDomainError } from '@fleetmq/shared';
import type { RawContext, RawMessage } from '@fleetmq/shared/runtime';
import { type Entry, errorResult, fetchLayout, joinAnswer, joinRequest, type Result } from '../domain/entries.ts';
import {
  encodeWish,
  type FetchAsk,
  type FetchBounds,
  type Fetched,
  type FetchWish,
  fetchOffsetOf,
  fitResults,
  readFetch,
  shareOf,
  summarize,
} from '../domain/fetch.ts';
import type { Leader } from '../domain/locate.ts';
import { type Failure, failureInBody, stepAfter, unansweredError } from '../domain/retry.ts';
import { budgetMs } from './leader-calls.ts';
import { outcomesOf } from './produce-calls.ts';
import { forwardedHeaders, type Upstreams } from './upstreams.ts';

export type FetchContext = Pick<RawContext, 'signal' | 'deadlineMs' | 'header' | 'draining'>;

/** A partition of a fetch: what is known of it so far. */
interface Slot {
  readonly entry: Entry;
  readonly fetchOffset: number;
  /** An answer that may go out. */
  fetched: Fetched | undefined;
  failure: Failure | undefined;
}

interface Group {
  readonly leader: Leader;
  readonly slots: Slot[];
}

/** Of a call without deadline. */
const deadlineDefaultMs = 60_000;
/** A caller that does not wait is still worth this much time while a leader is being looked for. */
const patienceMs = 500;
/** A leader's answer to a long poll may come this much later than the wait that it was asked for. */
const graceMs = 2_000;

/** A FetchRequest. */
export async function fetchRaw(
  upstreams: Upstreams,
  request: Uint8Array,
  context: FetchContext,
  bounds: FetchBounds,
): Promise<RawMessage> {
  const ask = readFetch(request, bounds);
  return joinAnswer(await fetchPartitions(upstreams, ask, context), fetchLayout);
}

/** The results, one per entry and in their order, together about `maxBytes`. */
export async function fetchPartitions(
  upstreams: Upstreams,
  ask: FetchAsk,
  context: FetchContext,
): Promise<Uint8Array[]> {
  const fetched = await new PartitionsFetch(upstreams, ask, context).run();
  return fitResults(fetched, ask.maxBytes, upstreams.nextTurn());
}

class PartitionsFetch {
  readonly #upstreams: Upstreams;
  readonly #ask: FetchAsk;
  readonly #context: FetchContext;
  readonly #slots: readonly Slot[];
  readonly #startedAtMs: number;
  readonly #budgetMs: number;
  /** The long poll is over then. */
  readonly #waitMs: number;
  /** Leaders are looked for until then. */
  readonly #patienceMs: number;

  constructor(upstreams: Upstreams, ask: FetchAsk, context: FetchContext) {
    this.#upstreams = upstreams;
    this.#ask = ask;
    this.#context = context;
    this.#slots = ask.entries.map((entry) => ({
      entry,
      fetchOffset: fetchOffsetOf(entry),
      fetched: undefined,
      failure: undefined,
    }));
    this.#startedAtMs = upstreams.clock.monotonicMs();
    this.#budgetMs = budgetMs(context.deadlineMs, deadlineDefaultMs);
    this.#waitMs = Math.min(ask.maxWaitMs, this.#budgetMs);
    this.#patienceMs = Math.min(this.#budgetMs, Math.max(this.#waitMs, patienceMs));
  }

  async run(): Promise<readonly Fetched[]> {
    const { signal, draining } = this.#context;
    for (let attempt = 1; ; attempt++) {
      await this.#look();
      if (signal.aborted) throw signal.reason;
      const isComplete = this.#slots.every((slot) => slot.fetched !== undefined);
      const hasNews = this.#slots.some(({ fetched }) => fetched !== undefined && isNews(fetched));
      const isPatient = this.#spentMs() < this.#patienceMs && !draining.aborted;
      if (isComplete || hasNews || !isPatient) break;
      await this.#upstreams.beforeRetry(attempt, this.#patienceMs - this.#spentMs(), signal);
    }
    return this.#slots.map((slot) => slot.fetched ?? this.#refused(slot));
  }

  /** Asks for everything that has no answer yet, or an empty one. */
  async #look(): Promise<void> {
    const groups = this.#groupByLeader();
    if (groups.length === 0) return;
    const waitMs = Math.max(0, this.#waitMs - this.#spentMs());
    const wish = { ...shareOf(this.#ask, groups.length), maxWaitMs: waitMs };
    const isAllOfOneLeader = groups.length === 1 && groups[0]?.slots.length === this.#slots.length;
    if (!isAllOfOneLeader) {
      await this.#askAll(groups, { ...wish, maxWaitMs: 0 }, this.#context.signal);
      if (this.#isOver(groups) || this.#spentMs() >= this.#waitMs) return;
    }
    await this.#pollAll(groups, wish);
  }

  /** What does not exist is answered at once and is in no group. */
  #groupByLeader(): Group[] {
    const groups = new Map<string, Group>();
    for (const slot of this.#slots) {
      if (slot.fetched !== undefined && isNews(slot.fetched)) continue;
      const location = this.#upstreams.locate(slot.entry);
      if (location.kind === 'missing') {
        slot.fetched = failedResult(slot, location.error);
      } else if (location.kind === 'none') {
        slot.failure = { code: 'NOT_AVAILABLE', message: 'nobody leads it at the moment', outcomeUnknown: false };
      } else {
        const { leader } = location;
        const group = groups.get(leader.url);
        if (group === undefined) groups.set(leader.url, { leader, slots: [slot] });
        else group.slots.push(slot);
      }
    }
    return [...groups.values()];
  }

  /** Whether waiting longer is of no use: there is enough, or something to be told, or somebody to be asked again. */
  #isOver(groups: readonly Group[]): boolean {
    let bytes = 0;
    for (const { fetched } of this.#slots) {
      if (fetched?.isError === true) return true;
      bytes += fetched?.dataBytes ?? 0;
    }
    return bytes >= this.#ask.minBytes || groups.some(({ slots }) => slots.some((slot) => slot.failure !== undefined));
  }

  async #askAll(groups: readonly Group[], wish: FetchWish, signal: AbortSignal, onAnswer?: () => void): Promise<void> {
    const ask = async (group: Group): Promise<void> => {
      await this.#askLeader(group, wish, signal);
      onAnswer?.();
    };
    await Promise.all(groups.map(ask));
  }

  /** Long polls at all leaders; ends when they have enough together, and cancels the rest. */
  async #pollAll(groups: readonly Group[], wish: FetchWish): Promise<void> {
    const { signal, draining } = this.#context;
    const enough = new AbortController();
    const stop = (): void => enough.abort(new DomainError('CANCELLED', 'the poll is over'));
    const signals = [signal, draining];
    for (const each of signals) each.addEventListener('abort', stop, { once: true });
    if (signals.some((each) => each.aborted)) stop();
    try {
      await this.#askAll(groups, wish, enough.signal, () => {
        if (this.#isOver(groups)) stop();
      });
    } finally {
      for (const each of signals) each.removeEventListener('abort', stop);
    }
  }

  /** One call. A failure stays with the slots; a poll that was cancelled leaves what was known before. */
  async #askLeader({ leader, slots }: Group, wish: FetchWish, signal: AbortSignal): Promise<void> {
    const entries = slots.map((slot) => slot.entry);
    const message = joinRequest(this.#ask.common, entries, encodeWish(wish));
    const timeoutMs = Math.min(Math.max(1, this.#budgetMs - this.#spentMs()), wish.maxWaitMs + graceMs);
    const options = { signal, timeoutMs, headers: forwardedHeaders(this.#context) };
    try {
      const { fetch: method } = ConsumerService.method;
      const answer = await this.#upstreams.transportTo(leader).rawUnary(method, message, options);
      const outcomes = outcomesOf(answer, entries, fetchLayout);
      for (const [index, slot] of slots.entries()) takeResult(slot, outcomes[index] as Result);
    } catch (thrown) {
      if (!isDomainError(thrown)) throw thrown;
      if (signal.aborted) return;
      for (const slot of slots) takeFailure(slot, thrown);
    }
  }

  #refused(slot: Slot): Fetched {
    const { entry, failure } = slot;
    const what = `partition ${entry.partition} of ${entry.topic}`;
    return failedResult(slot, unansweredError(what, this.#spentMs(), failure?.message ?? 'its leader was not heard'));
  }

  #spentMs(): number {
    return this.#upstreams.clock.monotonicMs() - this.#startedAtMs;
  }
}

function takeResult(slot: Slot, { content }: Result): void {
  const { code, message, dataBytes } = summarize(content);
  const failure = code === 'OK' ? undefined : failureInBody(code, message);
  const isPassing = failure !== undefined && stepAfter(failure, true) === 'retry';
  slot.failure = isPassing ? failure : undefined;
  slot.fetched = isPassing
    ? undefined
    : { content, dataBytes, fetchOffset: slot.fetchOffset, isError: failure !== undefined };
}

/** A leader that hung is asked again like one that was gone: it may not be the leader any more. */
function takeFailure(slot: Slot, error: DomainError): void {
  const isPassing = stepAfter(error, true) === 'retry';
  slot.failure = isPassing ? error : undefined;
  slot.fetched = isPassing ? undefined : failedResult(slot, error);
}

function failedResult({ entry, fetchOffset }: Slot, error: DomainError): Fetched {
  return { content: errorResult(entry, error, fetchLayout), dataBytes: 0, fetchOffset, isError: true };
}

function isNews({ dataBytes, isError }: Fetched): boolean {
  return dataBytes > 0 || isError;
}
