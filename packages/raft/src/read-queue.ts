/**
 * Linearizable reads that wait on a leader (dissertation, section 6.4).
 *
 * A read takes the commit index of its arrival and a number, counted from 1 in each term. Heartbeats carry the highest
 * number given out; a node that answers one thereby confirms, for all reads up to that number, that it knew of no newer
 * leader after they arrived. Once a quorum has confirmed a number, all reads up to it are answered, in order.
 * Reads that arrive before an entry of the own term is committed have no number yet: they wait in `early`.
 * A queue belongs to one term of one leader and is thrown away with it: no answer of another term can reach a read.
 */
import type { LogIndex } from '@fleetmq/shared';
import type { Message, NodeId } from './messages.ts';
import { type JointConfig, jointCommitted } from './quorum.ts';

export interface PendingRead {
  /** The MsgReadIndex, local or from a follower. */
  readonly request: Message;
  readonly index: LogIndex;
}

export class ReadQueue {
  #early: Message[] = [];
  #unconfirmed: PendingRead[] = [];
  /** Reads with a number up to here are answered. */
  #confirmed = 0;
  readonly #acked = new Map<NodeId, number>();

  get length(): number {
    return this.#early.length + this.#unconfirmed.length;
  }

  addEarly(request: Message): void {
    this.#early.push(request);
  }

  takeEarly(): readonly Message[] {
    const early = this.#early;
    this.#early = [];
    return early;
  }

  add(request: Message, index: LogIndex): void {
    this.#unconfirmed.push({ request, index });
  }

  /** The number that a heartbeat carries now; 0 when no read waits. */
  get sequence(): number {
    return this.#unconfirmed.length === 0 ? 0 : this.#confirmed + this.#unconfirmed.length;
  }

  /** `sequence` as it came back in a heartbeat answer of this term. */
  acknowledge(from: NodeId, sequence: number): void {
    this.#acked.set(from, Math.max(this.#acked.get(from) ?? 0, sequence));
  }

  /** Reads that a quorum has confirmed, oldest first; each is returned once. */
  takeConfirmed(voters: JointConfig): readonly PendingRead[] {
    const quorum = jointCommitted(voters, (id) => this.#acked.get(id));
    const count = Math.min(quorum - this.#confirmed, this.#unconfirmed.length);
    if (count <= 0) return [];
    this.#confirmed += count;
    return this.#unconfirmed.splice(0, count);
  }
}
