/**
 * The sealed segments whose file is open and whose index is in memory, of one log or of many: when there are too many, those
 * that were not used for the longest time are closed. The active segment of a log is not among them.
 * Invariant: at most `max` are held, those in use excepted.
 */
import type { Segment } from './segment.ts';

export class OpenSegments {
  max: number;
  /** Least recently used first. */
  readonly #held = new Set<Segment>();

  constructor(max: number) {
    this.max = max;
  }

  get size(): number {
    return this.#held.size;
  }

  /** The segment is no longer held, or no longer sealed; its owner closes it. */
  forget(segment: Segment): void {
    this.#held.delete(segment);
  }

  /** A sealed segment was used. Closes what is too much. */
  async noteUse(segment: Segment): Promise<void> {
    this.#held.delete(segment);
    this.#held.add(segment);
    for (const oldest of this.#held) {
      if (this.#held.size <= this.max) return;
      if (oldest.users > 0) continue;
      this.#held.delete(oldest);
      oldest.index = undefined;
      oldest.indexIsProven = false;
      await oldest.close();
    }
  }
}
