/**
 * Tells when records of an open loop are due, more exactly than Node's timers, which know whole milliseconds: a thread of its own
 * sleeps until then and posts a message. It costs the measured thread a message per tick, the same for every target.
 */
import { Worker } from 'node:worker_threads';

/** Not more often: at higher rates several records share a tick. */
const periodMinMs = 0.5;

const program = `
const { parentPort, workerData } = require('node:worker_threads');
const { startMs, periodMs, timeOrigin } = workerData;
const cell = new Int32Array(new SharedArrayBuffer(4));
const ownStartMs = startMs + timeOrigin - performance.timeOrigin;
for (let tick = 0; ; tick++) {
  const leftMs = ownStartMs + tick * periodMs - performance.now();
  if (leftMs > 0) Atomics.wait(cell, 0, 0, leftMs);
  parentPort.postMessage(0);
}`;

export class Ticker implements AsyncDisposable {
  readonly #worker: Worker;
  #wake: (() => void) | undefined;

  /** The first tick is at `startMs` on this thread's monotonic clock. */
  constructor({ startMs, perSecond }: { readonly startMs: number; readonly perSecond: number }) {
    const periodMs = Math.max(periodMinMs, 1000 / perSecond);
    const workerData = { startMs, periodMs, timeOrigin: performance.timeOrigin };
    this.#worker = new Worker(program, { eval: true, workerData });
    this.#worker.on('message', () => this.#wake?.());
  }

  /** Resolves at the next tick. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}
