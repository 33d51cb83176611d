/**
 * What has been received and not handed over, in order of arrival. Bounded in bytes: whoever fills it asks for room before it
 * takes the next answer from the wire, so the servers are held back by flow control and not by memory.
 * Bound: `bytesMax` plus one answer per stream. It ends once, cleanly or with an error; what is buffered is handed over first.
 */
import type { DomainError } from '@fleetmq/shared';
import { cancelled } from '../rpc/errors.ts';
import type { PartitionProgress } from './progress.ts';
import type { BufferedBatch } from './record.ts';

export class ReceiveBuffer {
  readonly #bytesMax: number;
  #batches: BufferedBatch[] = [];
  #head = 0;
  #bytes = 0;
  #end: { readonly error: DomainError | undefined } | undefined;
  #reader: (() => void) | undefined;
  #roomWaiters: (() => void)[] = [];

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  push(batch: BufferedBatch): void {
    if (this.#end !== undefined) return;
    this.#batches.push(batch);
    this.#bytes += batch.size;
    this.#wakeReader();
  }

  /** The next batch that is not out of date, if there is one. */
  shift(): BufferedBatch | undefined {
    while (this.#head < this.#batches.length) {
      const batch = this.#batches[this.#head++] as BufferedBatch;
      this.#bytes -= batch.size;
      if (this.#head >= 1024 && this.#head * 2 >= this.#batches.length) {
        this.#batches = this.#batches.slice(this.#head);
        this.#head = 0;
      }
      if (batch.generation === batch.progress.generation) {
        this.#offerRoom();
        return batch;
      }
    }
    this.#batches = [];
    this.#head = 0;
    this.#offerRoom();
    return undefined;
  }

  /** The batch that so many `shift`s from now would give, out of date or not. */
  peek(index: number): BufferedBatch | undefined {
    return this.#batches[this.#head + index];
  }

  /** Resolves when there may be something to `shift`, or the end. One reader at a time. */
  async news(): Promise<{ readonly error: DomainError | undefined } | undefined> {
    if (this.#head >= this.#batches.length && this.#end === undefined) {
      await new Promise<void>((resolve) => {
        this.#reader = resolve;
      });
    }
    return this.#head >= this.#batches.length ? this.#end : undefined;
  }

  /** Resolves when another answer may be received. */
  async room(signal: AbortSignal): Promise<void> {
    while (this.#bytes >= this.#bytesMax && this.#end === undefined && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const settle = (): void => {
          signal.removeEventListener('abort', settle);
          resolve();
        };
        this.#roomWaiters.push(settle);
        signal.addEventListener('abort', settle, { once: true });
      });
    }
    if (signal.aborted) throw cancelled(signal.reason);
  }

  /** Drops what is out of date, so that its memory is free at once. */
  dropOutdated(progress: PartitionProgress): void {
    const kept = this.#batches
      .slice(this.#head)
      .filter((batch) => batch.progress !== progress || batch.generation === progress.generation);
    this.#batches = kept;
    this.#head = 0;
    this.#bytes = kept.reduce((sum, { size }) => sum + size, 0);
    this.#offerRoom();
  }

  /** Nothing more comes. Only the first end counts. */
  finish(error?: DomainError): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.#wakeReader();
    this.#wakeWaiters();
  }

  #wakeReader(): void {
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.();
  }

  #offerRoom(): void {
    if (this.#bytes < this.#bytesMax) this.#wakeWaiters();
  }

  #wakeWaiters(): void {
    const waiters = this.#roomWaiters;
    this.#roomWaiters = [];
    for (const wake of waiters) wake();
  }
}
