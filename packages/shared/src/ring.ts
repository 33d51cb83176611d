/** A bounded first-in-first-out queue over a circular array: no `array.shift()`, no growth beyond its capacity. */
export class Ring<Item> {
  readonly capacity: number;
  #items: (Item | undefined)[];
  #head = 0;
  #size = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#items = new Array<Item | undefined>(Math.min(capacity, 16));
  }

  get size(): number {
    return this.#size;
  }

  /** False, and nothing changes, when the queue is full. */
  push(item: Item): boolean {
    if (this.#size === this.capacity) return false;
    if (this.#size === this.#items.length) this.#grow();
    this.#items[(this.#head + this.#size) % this.#items.length] = item;
    this.#size++;
    return true;
  }

  peek(): Item | undefined {
    return this.#size === 0 ? undefined : this.#items[this.#head];
  }

  /** The item at `index`, 0 being the oldest; undefined outside. */
  at(index: number): Item | undefined {
    return index < 0 || index >= this.#size ? undefined : this.#items[(this.#head + index) % this.#items.length];
  }

  shift(): Item | undefined {
    if (this.#size === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined;
    this.#head = (this.#head + 1) % this.#items.length;
    this.#size--;
    return item;
  }

  #grow(): void {
    const larger = new Array<Item | undefined>(Math.min(this.capacity, this.#items.length * 2));
    for (let i = 0; i < this.#size; i++) larger[i] = this.#items[(this.#head + i) % this.#items.length];
    this.#items = larger;
    this.#head = 0;
  }
}
