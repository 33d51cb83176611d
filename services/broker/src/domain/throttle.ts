/**
 * A bound on bytes per second that are sent one message after the other. A message goes when there is credit, and may be larger
 * than that: what it took too much has to come back before the next one. So in any time of `t` seconds at most
 * `(t + 1/10) * bytesPerSecond` bytes and one message more are sent, and a message is never too large to be sent at all.
 */

/** Credit that gathers while nothing is sent, in seconds. */
const burstSeconds = 0.1;

export class Throttle {
  #bytesPerSecond: number;
  #credit: number;
  #atMs: number;

  /** `bytesPerSecond` > 0. */
  constructor(bytesPerSecond: number, nowMs: number) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#credit = bytesPerSecond * burstSeconds;
    this.#atMs = nowMs;
  }

  get bytesPerSecond(): number {
    return this.#bytesPerSecond;
  }

  /** From now on this much; what is owed stays owed. */
  limit(bytesPerSecond: number, nowMs: number): void {
    this.#refill(nowMs);
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** When the next message may go: `nowMs`, or later. */
  readyAtMs(nowMs: number): number {
    this.#refill(nowMs);
    return this.#credit > 0 ? nowMs : nowMs + Math.ceil((1 - this.#credit) / (this.#bytesPerSecond / 1_000));
  }

  spend(bytes: number, nowMs: number): void {
    this.#refill(nowMs);
    this.#credit -= bytes;
  }

  #refill(nowMs: number): void {
    const refill = ((nowMs - this.#atMs) / 1_000) * this.#bytesPerSecond;
    this.#credit = Math.min(this.#bytesPerSecond * burstSeconds, this.#credit + refill);
    this.#atMs = nowMs;
  }
}
