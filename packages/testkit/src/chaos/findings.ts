/** What a run finds: what must not be, in words, and how often things happened. Findings are bounded: the first of a kind tell enough. */

const findingsMax = 50;

export class Findings {
  readonly #print: (line: string) => void;
  readonly #counts = new Map<string, number>();
  /** In the order in which they came. */
  readonly all: string[] = [];

  constructor(print: (line: string) => void) {
    this.#print = print;
  }

  add(text: string): void {
    this.#print(`FOUND: ${text}`);
    if (this.all.length < findingsMax) this.all.push(text);
  }

  count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }

  /** By name. */
  counts(): readonly (readonly [string, number])[] {
    return [...this.#counts].sort(([left], [right]) => (left < right ? -1 : 1));
  }
}
