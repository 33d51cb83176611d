/**
 * Flow control of one direction of a simulated stream, as HTTP/2 has it: at most a window of bytes is under way to the reader
 * or waits there, and what is left of the message that fills it; the rest waits with the sender.
 */

export interface FlowOptions {
  /** Infinity: none. */
  readonly windowBytes: number;
  /** Puts a message on its way. */
  readonly transmit: (message: Uint8Array) => void;
  /** Tells the sender that so many bytes were taken. */
  readonly returnCredit: (bytes: number) => void;
}

export class Flow {
  readonly #options: FlowOptions;
  readonly #held: Uint8Array[] = [];
  #heldBytes = 0;
  #underWay = 0;
  #taken = 0;
  #end: (() => void) | undefined;
  #wake: (() => void)[] = [];

  constructor(options: FlowOptions) {
    this.#options = options;
  }

  /** Bytes that have not left. */
  get waitingBytes(): number {
    return this.#heldBytes;
  }

  send(message: Uint8Array): void {
    this.#held.push(message);
    this.#heldBytes += message.length;
    this.#push();
  }

  /** Calls `end` once all that was sent is on its way. */
  finish(end: () => void): void {
    this.#end = end;
    this.#push();
  }

  /** The reader has taken a message. Credit goes back for half a window at once. */
  taken(message: Uint8Array): void {
    const { windowBytes, returnCredit } = this.#options;
    if (windowBytes === Number.POSITIVE_INFINITY) return;
    this.#taken += message.length;
    if (this.#taken < windowBytes / 2) return;
    const bytes = this.#taken;
    this.#taken = 0;
    returnCredit(bytes);
  }

  /** At the sender. */
  onCredit(bytes: number): void {
    this.#underWay -= bytes;
    this.#push();
  }

  /** Resolves when at most so many bytes wait here, or the stream is over. */
  async drained(bytes: number): Promise<void> {
    while (this.#heldBytes > bytes) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  /** Nothing is sent any more. */
  drop(): void {
    this.#held.length = 0;
    this.#heldBytes = 0;
    this.#end = undefined;
    this.#wakeAll();
  }

  #push(): void {
    const { windowBytes, transmit } = this.#options;
    for (let first = this.#held[0]; first !== undefined; first = this.#held[0]) {
      if (this.#underWay >= windowBytes) return;
      this.#held.shift();
      this.#heldBytes -= first.length;
      if (windowBytes !== Number.POSITIVE_INFINITY) this.#underWay += first.length;
      transmit(first);
    }
    const end = this.#end;
    this.#end = undefined;
    end?.();
    this.#wakeAll();
  }

  #wakeAll(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }
}
