/**
 * Linearizable reads on the leader: a read sees every command that was answered before it began (ReadIndex, Raft thesis
 * section 6.4). A quorum confirms the leadership, then this node waits until it has applied the index that was named.
 * A read lives and dies with the leadership: it fails with NOT_LEADER, never with an old answer. Never a lease.
 */
import { noIndex, type ReadState } from '@fleetmq/raft';
import { DomainError, type LogIndex, type Timers, viewOf } from '@fleetmq/shared';
import type { LeadershipState } from './leadership.ts';
import type { RaftDriver } from './raft-driver.ts';

export interface LinearReadsOptions {
  readonly driver: Pick<RaftDriver, 'readIndex'>;
  readonly leadership: LeadershipState;
  readonly appliedIndex: () => LogIndex;
  readonly timers: Timers;
  /** Default 5 s. */
  readonly timeoutMs: number;
}

interface Read {
  /** Known once it is confirmed. */
  index: LogIndex;
  done(index: LogIndex): void;
  fail(error: DomainError): void;
}

export class LinearReads {
  readonly #options: LinearReadsOptions;
  readonly #reads = new Map<number, Read>();
  /** Confirmed, but this node has not applied so much yet. By index, as reads are confirmed in their order. */
  readonly #confirmed = new Set<Read>();
  #next = 1;

  constructor(options: LinearReadsOptions) {
    this.#options = options;
    options.leadership.addListener((leadership) => {
      if (!leadership.isLeader) this.#failAll(leadership.notLeader());
    });
  }

  /** Resolves with the read index once this node has applied it. NOT_LEADER, NOT_AVAILABLE, LIMIT_EXCEEDED. */
  read(signal?: AbortSignal): Promise<LogIndex> {
    const { driver, leadership, timers, timeoutMs } = this.#options;
    return new Promise((resolve, reject) => {
      leadership.requireReady();
      signal?.throwIfAborted();
      const number = this.#next++;
      const onAbort = (): void => read.fail(new DomainError('CANCELLED', 'the caller gave up'));
      const timer = timers.after(timeoutMs, () => {
        read.fail(new DomainError('NOT_AVAILABLE', `no quorum confirmed a read within ${timeoutMs} ms`));
      });
      const end = (): void => {
        this.#reads.delete(number);
        this.#confirmed.delete(read);
        timer.cancel();
        signal?.removeEventListener('abort', onAbort);
      };
      const read: Read = {
        index: noIndex,
        done: (index) => {
          end();
          resolve(index);
        },
        fail: (error) => {
          end();
          reject(error);
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#reads.set(number, read);
      const refused = driver.readIndex(encodeNumber(number));
      if (refused !== undefined) read.fail(refused);
    });
  }

  /** A quorum has confirmed this read. */
  confirmed({ index, context }: ReadState): void {
    const read = this.#reads.get(decodeNumber(context));
    if (read === undefined) return;
    read.index = index;
    this.#confirmed.add(read);
    if (index <= this.#options.appliedIndex()) read.done(index);
  }

  /** This node has applied up to here. */
  applied(appliedIndex: LogIndex): void {
    for (const read of this.#confirmed) {
      if (read.index > appliedIndex) return;
      read.done(read.index);
    }
  }

  close(): void {
    this.#failAll(new DomainError('SHUTTING_DOWN', 'this controller is stopping'));
  }

  #failAll(error: DomainError): void {
    for (const read of [...this.#reads.values()]) read.fail(error);
  }
}

function encodeNumber(number: number): Uint8Array {
  const bytes = new Uint8Array(8);
  viewOf(bytes).setBigUint64(0, BigInt(number), true);
  return bytes;
}

function decodeNumber(bytes: Uint8Array): number {
  return bytes.length === 8 ? Number(viewOf(bytes).getBigUint64(0, true)) : 0;
}
