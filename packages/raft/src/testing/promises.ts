/**
 * What Raft promises, checked against all that the nodes of a cluster in a box have done since it began:
 *  - one leader per term, and one vote per node and term, across restarts;
 *  - an entry that some node applied at an index is the one that every node applies there (state machine safety);
 *  - a new leader has every entry that was committed before (leader completeness);
 *  - a read index is not below what any node had committed when the read was asked for (linearizability).
 */
import { assert, type LogIndex } from '@fleetmq/shared';
import type { Entry, Message, NodeId } from '../messages.ts';
import type { RaftStatus } from '../status.ts';
import { firstIndex, numberBytes, numberOf } from './host.ts';

export class Promises {
  /** Highest index that any node knew to be committed. */
  #committed: number = firstIndex;
  readonly #leaders = new Map<number, NodeId>();
  readonly #votes = new Map<string, NodeId>();
  /** What was applied at each index, and the state behind it. */
  readonly #history = new Map<number, { readonly entry: string; readonly state: number }>();
  /** Reads that wait for their answer: by mark, the index that it must reach. */
  readonly #pendingReads = new Map<number, number>();
  #reads = 0;

  get committed(): number {
    return this.#committed;
  }

  get terms(): number {
    return this.#leaders.size;
  }

  /** Reads that were answered. */
  get reads(): number {
    return this.#reads;
  }

  onSent(message: Message): void {
    if ((message.type === 'MsgVoteResp' || message.type === 'MsgVote') && !message.reject) {
      const voter = message.from;
      const candidate = message.type === 'MsgVote' ? message.from : message.to;
      const key = `${voter}/${message.term}`;
      const earlier = this.#votes.get(key);
      assert(earlier === undefined || earlier === candidate, `${voter} voted twice in term ${message.term}`);
      this.#votes.set(key, candidate);
    }
  }

  onStatus(id: NodeId, status: RaftStatus): void {
    if (status.role !== 'StateLeader') return;
    const known = this.#leaders.get(status.term);
    assert(known === undefined || known === id, `${known} and ${id} both lead in term ${status.term}`);
    if (known !== undefined) return;
    this.#leaders.set(status.term, id);
    assert(status.lastIndex > this.#committed, `leader ${id} of term ${status.term} lacks committed entries`);
  }

  /** A snapshot is there. */
  onInstalled(index: LogIndex, state: number): void {
    assert(this.#history.get(index)?.state === state, `snapshot ${index} has a wrong state`);
  }

  /** `state` is the one behind the entry. */
  onApplied(id: NodeId, entry: Entry, state: number): void {
    const known = this.#history.get(entry.index);
    const text = `${entry.term} ${entry.type} ${entry.data.join()}`;
    if (known === undefined) {
      this.#history.set(entry.index, { entry: text, state });
    } else {
      assert(known.entry === text, `${id} applies another entry at ${entry.index}: ${text}, not ${known.entry}`);
      assert(known.state === state, `${id} has another state at ${entry.index}`);
    }
    this.#committed = Math.max(this.#committed, entry.index);
  }

  /** `ask` gets the context of the read and says whether it was taken. */
  onRead(ask: (context: Uint8Array) => boolean): void {
    const mark = this.#pendingReads.size + this.#reads + 1_000_000;
    if (ask(numberBytes(mark))) this.#pendingReads.set(mark, this.#committed);
  }

  onAnswer(index: LogIndex, context: Uint8Array): void {
    const mark = numberOf(context);
    const least = this.#pendingReads.get(mark);
    // Forwarded requests may be doubled by the network and answered twice; the first answer is checked.
    if (least === undefined) return;
    assert(index >= least, `a read got index ${index}, but ${least} was committed when it was asked`);
    this.#pendingReads.delete(mark);
    this.#reads++;
  }
}
