/**
 * Raft messages that come in as calls: each is stepped, and what the core sends back for it becomes the call's answer.
 *
 * The core's answers are complete in themselves (term, index, verdict), so an answer may go to any waiting call of its
 * sender and kind: the oldest one gets it. When no answer comes the call ends with a lost message's status; Raft tolerates
 * loss, doubles and reordering. An answer that nobody waits for is dropped. Waiting calls are bounded per sender and kind.
 */
import type { Message, MessageType } from '@fleetmq/raft';
import { assert, DomainError, type Timers } from '@fleetmq/shared';

export interface RaftInboxOptions {
  readonly step: (message: Message) => DomainError | undefined;
  readonly timers: Timers;
  /** How long a call waits for the core's answer: an election timeout, as it is of no use later. */
  readonly answerTimeoutMs: number;
  /** Calls of one sender and kind that wait. Default 512. */
  readonly waitersMax?: number;
}

interface Waiter {
  resolve(answer: Message): void;
}

/** Kinds of calls that an answer may end, in this order. An append's answer also says that a sender's term is over. */
const answered: Partial<Record<MessageType, readonly MessageType[]>> = {
  MsgVoteResp: ['MsgVote'],
  MsgPreVoteResp: ['MsgPreVote'],
  MsgHeartbeatResp: ['MsgHeartbeat'],
  MsgAppResp: ['MsgApp', 'MsgSnap', 'MsgHeartbeat'],
};

export class RaftInbox {
  readonly #options: RaftInboxOptions;
  readonly #waiters = new Map<string, Set<Waiter>>();

  constructor(options: RaftInboxOptions) {
    this.#options = options;
  }

  /** Whether this message of the core answers a call, and does not make one. */
  static isAnswer(message: Message): boolean {
    return answered[message.type] !== undefined;
  }

  /** The core's answer. INVALID_REQUEST when the message is refused; PROPOSAL_DROPPED (aborted) when there is no answer. */
  ask(message: Message, options: { signal: AbortSignal; timeoutMs?: number }): Promise<Message> {
    const { step, timers, answerTimeoutMs, waitersMax = 512 } = this.#options;
    const key = keyOf(message.from, message.type);
    const waiters = this.#waiters.get(key) ?? new Set();
    this.#waiters.set(key, waiters);
    return new Promise((resolve, reject) => {
      if (waiters.size >= waitersMax) {
        throw new DomainError('LIMIT_EXCEEDED', `${waiters.size} calls of controller ${message.from} wait`);
      }
      const onAbort = (): void => drop('the caller gave up');
      const timeoutMs = options.timeoutMs ?? answerTimeoutMs;
      const timer = timers.after(timeoutMs, () => drop(`no answer in ${timeoutMs} ms`));
      const end = (): void => {
        waiters.delete(waiter);
        if (waiters.size === 0 && this.#waiters.get(key) === waiters) this.#waiters.delete(key);
        timer.cancel();
        options.signal.removeEventListener('abort', onAbort);
      };
      const drop = (why: string): void => {
        end();
        reject(new DomainError('PROPOSAL_DROPPED', `${message.type} of controller ${message.from}: ${why}`));
      };
      const waiter: Waiter = {
        resolve: (answer) => {
          end();
          resolve(answer);
        },
      };
      options.signal.addEventListener('abort', onAbort, { once: true });
      waiters.add(waiter);
      const refused = step(message);
      if (refused === undefined) return;
      end();
      reject(refused);
    });
  }

  /** What the core sends back. */
  answer(message: Message): void {
    const kinds = answered[message.type];
    assert(kinds !== undefined, `${message.type} answers no call`);
    for (const kind of kinds) {
      const oldest = this.#waiters.get(keyOf(message.to, kind))?.values().next().value;
      if (oldest === undefined) continue;
      oldest.resolve(message);
      return;
    }
  }
}

function keyOf(controllerId: number, kind: MessageType): string {
  return `${controllerId} ${kind}`;
}
