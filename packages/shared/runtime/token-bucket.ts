/** How often something may happen: `burst` times at once, and `perSecond` times a second beyond that. */
export interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}

export class TokenBucket {
  readonly #rate: Rate;
  #tokens: number;
  #atMs: number;

  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#atMs = nowMs;
  }

  /** Takes `cost` tokens; false when there were not so many. What is owed has to come back first. */
  take(nowMs: number, cost = 1): boolean {
    const refill = ((nowMs - this.#atMs) / 1_000) * this.#rate.perSecond;
    this.#tokens = Math.min(this.#rate.burst, this.#tokens + refill) - cost;
    this.#atMs = nowMs;
    return this.#tokens >= 0;
  }
}
