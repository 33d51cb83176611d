/** What happened in runs, counted by name. */

export class Counts {
  readonly #counts = new Map<string, number>();

  add(name: string, count = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + count);
  }

  get(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  /** Takes over another's. */
  merge(other: Counts): void {
    for (const [name, count] of other.#counts) this.add(name, count);
  }

  /** By name. */
  entries(): readonly (readonly [string, number])[] {
    return [...this.#counts].sort(([left], [right]) => (left < right ? -1 : 1));
  }
}
