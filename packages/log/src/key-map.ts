/**
 * The newest offset of each key in a stretch of log, within a bound of memory. Keys are compared whole, never by a hash alone: two
 * keys that pass for one would cost a record that is still valid.
 */

/** What an entry takes beside its key, about; a key may take two bytes for each of its own. */
const entryBytes = 64;

/** Maps each byte to one character, so that different keys are different strings. */
const text = new TextDecoder('latin1');

export class KeyMap {
  readonly #offsets = new Map<string, number>();
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get isFull(): boolean {
    return this.#bytes >= this.#bytesMax;
  }

  get size(): number {
    return this.#offsets.size;
  }

  /** Notes that `key` was written at `offset`; offsets rise from call to call. */
  note(key: Uint8Array, offset: number): void {
    const name = text.decode(key);
    const count = this.#offsets.size;
    this.#offsets.set(name, offset);
    if (this.#offsets.size > count) this.#bytes += entryBytes + 2 * key.length;
  }

  /** The newest offset that was noted; undefined for none. */
  newest(key: Uint8Array): number | undefined {
    return this.#offsets.get(text.decode(key));
  }
}
