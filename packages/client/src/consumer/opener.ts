/**
 * Opens received batches in their turn. Long compressed ones are inflated on another thread where the codec has one, and the
 * next of them already while the caller has the one before, so that it seldom waits.
 *
 * Batches are handed over in the order of the buffer, whichever is inflated first, and an error comes in its batch's turn.
 * Bound: `aheadMax` batches are inflated before their turn, each below the cap of one batch (4 MiB). What a seek or a pause
 * has put out of date is dropped with what was inflated of it.
 */
import { type OpenBatch, type OpenBatchOptions, openBatchInBackground } from '@fleetmq/record';
import type { ReceiveBuffer } from './buffer.ts';
import type { BufferedBatch } from './record.ts';

/** With two the thread goes on while the caller changes batches. */
const aheadMax = 2;

export class BatchOpener {
  readonly #options: OpenBatchOptions;
  readonly #buffer: ReceiveBuffer;
  readonly #begun = new WeakMap<BufferedBatch, OpenBatch | Promise<OpenBatch>>();

  constructor(options: OpenBatchOptions, buffer: ReceiveBuffer) {
    this.#options = options;
    this.#buffer = buffer;
  }

  /** The batch in `bytes`, those of `buffered`, which the buffer has just given. */
  open(buffered: BufferedBatch, bytes: Uint8Array): OpenBatch | Promise<OpenBatch> {
    const batch = this.#begun.get(buffered) ?? openBatchInBackground(bytes, this.#options);
    // What is opened here and now is opened in its turn: before it, the caller would wait for nothing.
    if (batch instanceof Promise) for (let i = 0; i < aheadMax; i++) this.#begin(this.#buffer.peek(i));
    return batch;
  }

  #begin(buffered: BufferedBatch | undefined): void {
    if (buffered?.bytes === undefined || this.#begun.has(buffered)) return;
    try {
      const batch = openBatchInBackground(buffered.bytes, this.#options);
      this.#begun.set(buffered, batch);
      if (batch instanceof Promise) batch.catch(() => undefined); // Thrown in its turn, unless it is dropped before.
    } catch {
      // Opening it in its turn throws the same.
    }
  }
}
