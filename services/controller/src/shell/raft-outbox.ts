/**
 * Appends, or heartbeats, on their way to one other controller. While a call is under way, what the core sends next comes
 * together here and leaves as one message: many proposals cost few calls, and many reads few rounds of heartbeats.
 *
 * Appends that follow each other become one; a younger heartbeat takes an older one's place, as it says all that still
 * matters. Order is kept. A call that stays unanswered holds up the next one for `patienceMs` only: a message may be lost
 * while later ones arrive, and followers must hear of their leader. Calls under way and messages that wait are bounded.
 */
import { type Message, payloadSize } from '@fleetmq/raft';
import type { Timers } from '@fleetmq/shared';

export interface RaftOutboxOptions {
  /** One call; resolves when it has ended, whatever its outcome. Must not throw. */
  readonly call: (message: Message) => Promise<void>;
  readonly timers: Timers;
  /** After this the next call need not wait for an answer any more. An interval of heartbeats. */
  readonly patienceMs: number;
  /** Calls under way, old ones included. */
  readonly callsMax: number;
}

/** Calls that others wait for: while one is on the follower's disk, the next one is on its way. */
const youngCallsMax = 2;
/** Messages that do not join, such as those of different terms. */
const waitingMax = 16;
/** Payload of one append; a single message may exceed it. */
const payloadBytesMax = 1024 * 1024;

export class RaftOutbox {
  readonly #options: RaftOutboxOptions;
  #waiting: Message[] = [];
  #open = 0;
  #young = 0;
  #isClosed = false;

  constructor(options: RaftOutboxOptions) {
    this.#options = options;
  }

  /** False when there is no room: the message is lost. */
  send(message: Message): boolean {
    const last = this.#waiting[this.#waiting.length - 1];
    const joined = last === undefined ? undefined : joinMessages(last, message);
    if (joined !== undefined) this.#waiting[this.#waiting.length - 1] = joined;
    else if (this.#waiting.length < waitingMax) this.#waiting.push(message);
    else return false;
    this.#drain();
    return true;
  }

  /** What waits is dropped. */
  close(): void {
    this.#isClosed = true;
    this.#waiting = [];
  }

  #drain(): void {
    while (!this.#isClosed && this.#young < youngCallsMax && this.#open < this.#options.callsMax) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      void this.#start(next);
    }
  }

  async #start(message: Message): Promise<void> {
    const { call, timers, patienceMs } = this.#options;
    let isYoung = true;
    const grow = (): void => {
      if (!isYoung) return;
      isYoung = false;
      this.#young--;
      this.#drain();
    };
    this.#open++;
    this.#young++;
    const timer = timers.after(patienceMs, grow);
    await call(message);
    timer.cancel();
    this.#open--;
    grow();
    this.#drain();
  }
}

/** One message that says what both say, `second` being the younger; undefined when there is none. */
export function joinMessages(first: Message, second: Message): Message | undefined {
  if (first.type !== second.type || first.term !== second.term) return undefined;
  if (first.type === 'MsgHeartbeat') return second;
  const isNext = first.type === 'MsgApp' && second.index === first.index + first.entries.length;
  if (!isNext || payloadSize(first.entries) + payloadSize(second.entries) > payloadBytesMax) return undefined;
  const { index, logTerm } = first;
  return { ...second, index, logTerm, entries: [...first.entries, ...second.entries] };
}
