/**
 * Memory of answers that callers have not taken yet: one bound for a whole process, shared so that callers who do not read
 * cannot take it from those who do.
 *
 * - A quarter is a reserve: for small answers, and for those who do not hold more than one already. So a connection that takes
 *   what it gets finds room however many others do not.
 * - While less than half is free, answers that have waited for `patienceMs` are given up, the oldest first: their `giveUp` ends
 *   the call, and with it the memory.
 *
 * Invariants: `bytes` is the sum of what is held; what is held is let go of exactly once, whoever does it.
 */
import { assert } from './assert.ts';
import type { Clock } from './ports.ts';

export interface AnswerMemoryOptions {
  readonly bytesMax: number;
  /** What waits for less is never given up. */
  readonly patienceMs: number;
  readonly clock: Pick<Clock, 'monotonicMs'>;
}

/** Bytes of an answer, until they are let go of. */
export interface HeldAnswer {
  /** Its caller, and how to end its call. Without it the answer is never given up. */
  watch(giveUp: () => void): void;
  /** What was an estimate before there was an answer is as long as the answer now. False: for that there is no room. */
  resize(bytes: number): boolean;
  /** The bytes have left, or are dropped. Doing it twice changes nothing. */
  release(): void;
}

interface Held {
  bytes: number;
  readonly holder: object;
  readonly sinceMs: number;
  giveUp: (() => void) | undefined;
  isReleased: boolean;
}

/** The reserve is for answers up to this size, of connections that hold no more than this. */
const smallBytes = 128 * 1024;

export class AnswerMemory {
  readonly bytesMax: number;
  readonly #options: AnswerMemoryOptions;
  /** In the order of their beginning. */
  readonly #held = new Set<Held>();
  readonly #byHolder = new Map<object, number>();
  #bytes = 0;
  #givenUp = 0;

  constructor(options: AnswerMemoryOptions) {
    this.#options = options;
    this.bytesMax = options.bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Answers that were given up so far. */
  get givenUp(): number {
    return this.#givenUp;
  }

  /** Bytes that the next answer of this connection may have; makes room first if there is little. */
  roomFor(holder: object): number {
    const half = this.bytesMax / 2;
    if (this.bytesMax - this.#bytes < half) this.#giveUpOld(half);
    return this.#room(holder, 0);
  }

  /** Notes an answer that is there, or may come. Undefined: there is no room for it. */
  hold(bytes: number, holder: object): HeldAnswer | undefined {
    if (!this.#fits(bytes, holder, 0)) return undefined;
    const sinceMs = this.#options.clock.monotonicMs();
    const held: Held = { bytes, holder, sinceMs, giveUp: undefined, isReleased: false };
    this.#held.add(held);
    this.#count(holder, bytes);
    return {
      watch: (giveUp) => {
        held.giveUp = giveUp;
      },
      resize: (next) => {
        if (held.isReleased) return true;
        if (next > held.bytes && !this.#fits(next, holder, held.bytes)) return false;
        this.#count(holder, next - held.bytes);
        held.bytes = next;
        return true;
      },
      release: () => this.#release(held),
    };
  }

  /** `own`: bytes that are held for the same answer already. The only answer always fits. */
  #fits(bytes: number, holder: object, own: number): boolean {
    return bytes <= this.#room(holder, own) || this.#bytes === own;
  }

  #room(holder: object, own: number): number {
    const free = Math.max(0, this.bytesMax - this.#bytes + own);
    const isLight = (this.#byHolder.get(holder) ?? 0) - own <= smallBytes;
    return Math.max(free - this.bytesMax / 4, isLight ? Math.min(free, smallBytes) : 0);
  }

  #giveUpOld(freeBytes: number): void {
    const before = this.#options.clock.monotonicMs() - this.#options.patienceMs;
    for (const held of this.#held) {
      if (held.sinceMs > before || this.bytesMax - this.#bytes >= freeBytes) return;
      if (held.giveUp === undefined) continue;
      this.#givenUp++;
      this.#release(held);
      held.giveUp();
    }
  }

  #release(held: Held): void {
    if (held.isReleased) return;
    held.isReleased = true;
    this.#held.delete(held);
    this.#count(held.holder, -held.bytes);
  }

  #count(holder: object, change: number): void {
    this.#bytes += change;
    const bytes = (this.#byHolder.get(holder) ?? 0) + change;
    assert(bytes >= 0, 'more bytes of answers were let go of than held');
    if (bytes === 0) this.#byHolder.delete(holder);
    else this.#byHolder.set(holder, bytes);
  }
}
