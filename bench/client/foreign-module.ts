/** Clients of other systems lie in a folder of their own, not among the dependencies of this workspace. */
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** `folder` has a package.json and node_modules. The caller says what the module looks like: nobody checks. */
export function loadForeign<Module>(folder: string, name: string): Module {
  return createRequire(join(folder, 'package.json'))(name) as Module;
}

/** Lets so many pieces of work be under way. The first failure is thrown by whoever waits next. */
export class Window {
  readonly #max: number;
  #open = 0;
  #failure: unknown;
  #wake: (() => void) | undefined;

  constructor(max: number) {
    this.#max = max;
  }

  get isFull(): boolean {
    return this.#open >= this.#max || this.#failure !== undefined;
  }

  add(work: Promise<unknown>): void {
    this.#open++;
    work.then(this.#settle, (error) => {
      this.#failure ??= error;
      this.#settle();
    });
  }

  /** Resolves when there is room for one more. */
  async room(): Promise<void> {
    await this.#until(this.#max - 1);
  }

  /** Resolves when nothing is under way. */
  async empty(): Promise<void> {
    await this.#until(0);
  }

  async #until(openMax: number): Promise<void> {
    while (this.#open > openMax && this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  readonly #settle = (): void => {
    this.#open--;
    this.#wake?.();
  };
}

/** How many records of this size make a request of about 256 KiB; at most `countMax`. */
export function recordsPerRequest(size: number, countMax: number): number {
  return Math.max(1, Math.min(countMax, Math.floor((256 << 10) / size)));
}
