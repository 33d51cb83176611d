/**
 * What leaves for other nodes, and when: at once, unless its term is newer than the durable one. No message leaves under a
 * term that a crash could take back (P24): it is held until that term is durable.
 */
import type { Message } from '@fleetmq/raft';
import type { Term } from '@fleetmq/shared';

export class TermGate {
  readonly #send: (message: Message) => void;
  #durableTerm: Term;
  /** Messages whose term is not durable yet. */
  #held: Message[] = [];

  constructor(durableTerm: Term, send: (message: Message) => void) {
    this.#durableTerm = durableTerm;
    this.#send = send;
  }

  /** The newest term that a crash cannot take back. */
  get durableTerm(): Term {
    return this.#durableTerm;
  }

  /** Pre-votes name a term that nobody is in yet: they promise nothing. */
  pass(message: Message): void {
    const isPreVote = message.type === 'MsgPreVote' || message.type === 'MsgPreVoteResp';
    if (message.term > this.#durableTerm && !isPreVote) this.#held.push(message);
    else this.#send(message);
  }

  /** This term is durable. What was held for it stays until `release`. */
  raise(term: Term): void {
    if (term > this.#durableTerm) this.#durableTerm = term;
  }

  /** Those whose term is still newer stay. */
  release(): void {
    const held = this.#held;
    this.#held = [];
    for (const message of held) this.pass(message);
  }
}
