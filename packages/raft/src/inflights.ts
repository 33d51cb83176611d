/**
 * The window of append messages on their way to one follower, limited by count and by bytes of payload.
 * A first-in first-out queue: messages are added with rising indexes and freed up to an acknowledged index.
 * The limits are checked by the sender (`isFull`); the queue itself takes one message more than the bytes allow, since a
 * message's size is known only once it is built.
 */
interface Inflight {
  readonly index: number;
  readonly bytes: number;
}

export class Inflights {
  readonly #maxCount: number;
  readonly #maxBytes: number;
  #queue: Inflight[] = [];
  #head = 0;
  #bytes = 0;

  /** `maxBytes` may be Infinity. */
  constructor(maxCount: number, maxBytes: number) {
    this.#maxCount = maxCount;
    this.#maxBytes = maxBytes;
  }

  get count(): number {
    return this.#queue.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isFull(): boolean {
    return this.count >= this.#maxCount || this.#bytes >= this.#maxBytes;
  }

  /** `index` is that of the message's last entry. */
  add(index: number, bytes: number): void {
    this.#queue.push({ index, bytes });
    this.#bytes += bytes;
  }

  /** Frees all messages whose last entry is at or below `index`. */
  freeUpTo(index: number): void {
    while (this.#head < this.#queue.length) {
      const oldest = this.#queue[this.#head] as Inflight;
      if (oldest.index > index) break;
      this.#bytes -= oldest.bytes;
      this.#head++;
    }
    // Give memory back once half of the array is dead: constant time per message, whatever the window's size.
    if (this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
  }

  reset(): void {
    this.#queue = [];
    this.#head = 0;
    this.#bytes = 0;
  }

  clone(): Inflights {
    const copy = new Inflights(this.#maxCount, this.#maxBytes);
    copy.#queue = this.#queue.slice(this.#head);
    copy.#bytes = this.#bytes;
    return copy;
  }
}
