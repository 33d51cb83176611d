/**
 * The queue of disk writes beside the loop of the Raft driver: worked off in order, and what waits is made durable together.
 * It knows nothing of what rests on a write: that is told when the write is durable, and not at all after a failure, which
 * `run` throws.
 */
import type { Message } from '@fleetmq/raft';
import { assert, Ring } from '@fleetmq/shared';
import type { Failpoints } from './failpoint.ts';
import type { DiskRaftStorage } from './raft-storage.ts';

export interface WriteQueueOptions {
  readonly storage: Pick<DiskRaftStorage, 'persist'>;
  readonly onDurable: (writes: readonly Message[]) => void;
  readonly failpoint: Failpoints | undefined;
  /** Writes that wait; more are a broken invariant, since the core itself bounds what is under way. */
  readonly writesMax: number;
}

export class WriteQueue {
  readonly #options: WriteQueueOptions;
  readonly #writes: Ring<Message>;
  #wake: (() => void) | undefined;
  #isStopped = false;

  constructor(options: WriteQueueOptions) {
    this.#options = options;
    this.#writes = new Ring(options.writesMax);
  }

  /** A MsgStorageAppend. */
  push(write: Message): void {
    assert(this.#writes.push(write), `${this.#writes.capacity} writes wait for the disk`);
    this.#wake?.();
  }

  /** Works the queue off until it is stopped. Once. */
  async run(): Promise<void> {
    const { failpoint, storage, onDurable } = this.#options;
    while (!this.#isStopped) {
      const writes = this.#take();
      if (writes.length === 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
        continue;
      }
      if (failpoint !== undefined) await failpoint('before-persist');
      await storage.persist(writes);
      if (failpoint !== undefined) await failpoint('after-persist');
      if (this.#isStopped) return;
      onDurable(writes);
    }
  }

  /** A write under way is finished, but nobody hears of it. */
  stop(): void {
    this.#isStopped = true;
    this.#wake?.();
  }

  /** All that wait, up to and with the first that installs a snapshot. */
  #take(): readonly Message[] {
    const taken: Message[] = [];
    for (let next = this.#writes.shift(); next !== undefined; next = this.#writes.shift()) {
      taken.push(next);
      if (next.snapshot !== undefined) break;
    }
    return taken;
  }
}
