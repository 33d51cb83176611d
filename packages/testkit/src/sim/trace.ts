/**
 * What happened, as one number: every event of a run is folded into a hash, so that two runs of a seed can be compared.
 * With `print`, the same events are also lines for people. A line is only built when it is wanted.
 */
export class Trace {
  readonly #print: ((line: string) => void) | undefined;
  readonly #now: () => number;
  readonly #labels = new Map<string, number>();
  #high = 0x811c9dc5;
  #low = 0x1b873593;
  #notes = 0;

  constructor(now: () => number, print?: (line: string) => void) {
    this.#now = now;
    this.#print = print;
  }

  /** 16 hexadecimal digits. */
  get hash(): string {
    return [this.#high, this.#low].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('');
  }

  get notes(): number {
    return this.#notes;
  }

  /** `values` must be whole numbers; `words` adds what only people read. */
  note(label: string, values: readonly number[] = [], words?: () => string): void {
    this.#notes++;
    this.#fold(this.#label(label));
    this.#fold(Math.round(this.#now() * 1_000));
    for (const value of values) this.#fold(value);
    if (this.#print === undefined) return;
    const time = this.#now().toFixed(3).padStart(10);
    this.#print(`${time} ${label} ${values.join(' ')}${words === undefined ? '' : ` ${words()}`}`);
  }

  #label(label: string): number {
    let number = this.#labels.get(label);
    if (number === undefined) {
      number = 0;
      for (let position = 0; position < label.length; position++) {
        number = (Math.imul(number, 31) + label.charCodeAt(position)) | 0;
      }
      this.#labels.set(label, number);
    }
    return number;
  }

  #fold(value: number): void {
    const upper = Math.floor(value / 2 ** 32);
    this.#high = Math.imul(this.#high ^ (value | 0) ^ upper, 0x01000193);
    this.#low = Math.imul(((this.#low << 13) | (this.#low >>> 19)) ^ this.#high, 0x85ebca6b) + 0x2545f491;
  }
}
