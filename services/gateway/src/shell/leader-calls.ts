/**
 * Drives a call that has parts for several partitions: finds the leaders, asks them in parallel, looks at each part's
 * outcome, and asks again for those that may be repeated, until the time is over. Every part gets exactly one result, and a
 * leader that is slow does not hold up the repetition of parts at others.
 *
 * It never repeats a part whose outcome is unknown unless the part says that this is safe; see `domain/retry.ts`.
 */
import { assert, DomainError, type ErrorName, isDomainError, type TopicPartitionName } from '@fleetmq/shared';
import type { Leader, Location } from '../domain/locate.ts';
import {
  type Failure,
  failureInBody,
  isFinal,
  isOpen,
  stepAfter,
  unansweredError,
  unknownError,
} from '../domain/retry.ts';
import type { Upstreams } from './upstreams.ts';

/** What a leader said about one part: its result, and the code in it. */
export interface PartOutcome {
  readonly code: ErrorName | 'OK';
  readonly message: string;
  readonly content: Uint8Array;
}

/** What an attempt passes on to the transport. */
export interface AttemptOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

export interface LeaderCall<Part extends TopicPartitionName> {
  readonly parts: readonly Part[];
  /** Whether the call changes something, so that an unknown outcome matters. */
  readonly isWrite: boolean;
  /** Whether a part may be repeated after an attempt with unknown outcome. */
  readonly isSafe: (part: Part) => boolean;
  /** One attempt; outcomes in the order of `parts`. Throws a DomainError when the leader refused all or could not be asked. */
  readonly send: (leader: Leader, parts: readonly Part[], options: AttemptOptions) => Promise<readonly PartOutcome[]>;
  /** The result of a part that failed here. */
  readonly refuse: (part: Part, error: DomainError) => Uint8Array;
  /** What no leader was found for is given up after this. */
  readonly retryMs: number;
  /** An attempt is given up after this, with outcome unknown: what is left of the caller's deadline. */
  readonly attemptMs: number;
  readonly signal: AbortSignal;
}

interface Pending<Part> {
  readonly part: Part;
  readonly index: number;
  failure: Failure;
  /** An attempt may have been carried out. */
  isOpen: boolean;
}

interface Group<Part> {
  /** Undefined: nobody leads these at the moment. */
  readonly leader: Leader | undefined;
  readonly pending: Pending<Part>[];
}

const notAsked: Failure = { code: 'NOT_AVAILABLE', message: 'nobody was asked', outcomeUnknown: false };
const notLed: Failure = { code: 'NOT_AVAILABLE', message: 'nobody leads it at the moment', outcomeUnknown: false };

/** Results in the order of the parts. Throws the signal's reason when the caller has given up. */
export async function callLeaders<Part extends TopicPartitionName>(
  upstreams: Upstreams,
  call: LeaderCall<Part>,
): Promise<Uint8Array[]> {
  const run = new CallRun(upstreams, call);
  await run.settle(
    call.parts.map((part, index) => ({ part, index, failure: notAsked, isOpen: false })),
    1,
  );
  return run.results;
}

class CallRun<Part extends TopicPartitionName> {
  readonly results: Uint8Array[];
  readonly #upstreams: Upstreams;
  readonly #call: LeaderCall<Part>;
  readonly #startedAtMs: number;

  constructor(upstreams: Upstreams, call: LeaderCall<Part>) {
    this.#upstreams = upstreams;
    this.#call = call;
    this.#startedAtMs = upstreams.clock.monotonicMs();
    this.results = new Array<Uint8Array>(call.parts.length);
  }

  async settle(pending: readonly Pending<Part>[], attempt: number): Promise<void> {
    await Promise.all(this.#groupByLeader(pending).map((group) => this.#settleGroup(group, attempt)));
  }

  async #settleGroup({ leader, pending }: Group<Part>, attempt: number): Promise<void> {
    const { retryMs, signal } = this.#call;
    const again = leader === undefined ? pending : await this.#ask(leader, pending);
    if (again.length === 0) return;
    await this.#upstreams.beforeRetry(attempt, Math.max(0, retryMs - this.#spentMs()), signal);
    if (signal.aborted) throw signal.reason;
    if (this.#spentMs() < retryMs) {
      await this.settle(again, attempt + 1);
      return;
    }
    for (const each of again) this.#giveUp(each);
  }

  /** What does not exist has its result at once and is in no group. */
  #groupByLeader(pending: readonly Pending<Part>[]): Group<Part>[] {
    const groups = new Map<string | undefined, Group<Part>>();
    for (const each of pending) {
      const location = this.#upstreams.locate(each.part);
      if (location.kind === 'missing') {
        this.results[each.index] = this.#call.refuse(each.part, location.error);
        continue;
      }
      const leader = location.kind === 'leader' ? location.leader : undefined;
      if (leader === undefined) each.failure = notLed;
      const group = groups.get(leader?.url);
      if (group === undefined) groups.set(leader?.url, { leader, pending: [each] });
      else group.pending.push(each);
    }
    return [...groups.values()];
  }

  /** One attempt at one leader. Returns the parts that have to be asked for again. */
  async #ask(leader: Leader, pending: readonly Pending<Part>[]): Promise<Pending<Part>[]> {
    const { attemptMs, signal } = this.#call;
    const parts = pending.map((each) => each.part);
    const watched = this.#watchAttempt(leader, parts);
    let outcomes: readonly PartOutcome[];
    try {
      const timeoutMs = Math.max(1, attemptMs - this.#spentMs());
      outcomes = await this.#call.send(leader, parts, { signal: watched.signal, timeoutMs });
      assert(outcomes.length === parts.length, 'a result for each part');
    } catch (thrown) {
      if (!isDomainError(thrown) || signal.aborted) throw thrown;
      return pending.filter((each) => !this.#finish(each, thrown));
    } finally {
      watched.end();
    }
    return pending.filter((each, position) => !this.#take(each, outcomes[position] as PartOutcome));
  }

  /** False: the part has to be asked for again. */
  #take(each: Pending<Part>, { code, message, content }: PartOutcome): boolean {
    if (code !== 'OK') return this.#finish(each, failureInBody(code, message), content);
    this.results[each.index] = content;
    return true;
  }

  /** False: the part has to be asked for again. */
  #finish(each: Pending<Part>, failure: Failure, content?: Uint8Array): boolean {
    const { part, index } = each;
    const step = stepAfter(failure, this.#call.isSafe(part));
    const wasOpen = each.isOpen;
    each.failure = failure;
    each.isOpen = this.#call.isWrite && (wasOpen || isOpen(failure));
    if (step === 'retry') return false;
    if (step === 'unknown' || (wasOpen && !isFinal(failure.code))) this.#giveUp(each);
    else this.results[index] = content ?? this.#call.refuse(part, asDomainError(failure));
    return true;
  }

  /** The result of a part that nobody answered for good. */
  #giveUp({ part, index, failure, isOpen: mayBeDone }: Pending<Part>): void {
    const error = mayBeDone
      ? unknownError(nameOf(part), failure.message)
      : unansweredError(nameOf(part), this.#spentMs(), failure.message);
    this.results[index] = this.#call.refuse(part, error);
  }

  /**
   * A leader that hangs must not use up the caller's time when another one has taken over: the attempt is left then, if all
   * of its parts may be repeated.
   */
  #watchAttempt(leader: Leader, parts: readonly Part[]): { readonly signal: AbortSignal; readonly end: () => void } {
    const { signal, isSafe } = this.#call;
    if (!parts.every(isSafe)) return { signal, end: () => undefined };
    const left = new AbortController();
    const onAbort = (): void => left.abort(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    const stopListening = this.#upstreams.onChange(() => {
      if (parts.some((part) => isLedBy(this.#upstreams.locate(part), leader))) return;
      const text = `broker ${leader.brokerId} does not lead it any more`;
      left.abort(new DomainError('NOT_AVAILABLE', text, { outcomeUnknown: true }));
    });
    const end = (): void => {
      stopListening();
      signal.removeEventListener('abort', onAbort);
    };
    return { signal: left.signal, end };
  }

  #spentMs(): number {
    return this.#upstreams.clock.monotonicMs() - this.#startedAtMs;
  }
}

/** Also while nobody is known to have taken over: the one that led may still be there. */
function isLedBy(location: Location, leader: Leader): boolean {
  return location.kind === 'none' || (location.kind === 'leader' && location.leader.url === leader.url);
}

function asDomainError(failure: Failure): DomainError {
  return isDomainError(failure) ? failure : new DomainError(failure.code, failure.message);
}

function nameOf({ topic, partition }: TopicPartitionName): string {
  return `partition ${partition} of ${topic}`;
}

/** Time before a deadline that is kept for putting the answer together and sending it. */
const answerMarginMs = 50;

/** What a call may spend on its leaders: its deadline less a margin. */
export function budgetMs(deadlineMs: number | undefined, defaultMs: number): number {
  if (deadlineMs === undefined) return defaultMs;
  return Math.max(1, deadlineMs - Math.min(answerMarginMs, deadlineMs / 10));
}
