/**
 * Whether a service is ready, as a set of named conditions: it is ready when all of them hold. Conditions begin as "not
 * yet", so a service is never ready because somebody forgot to say that it is not. Read by the ops listener, and a source
 * for grpc.health.v1.
 */
export interface ReadinessReport {
  readonly ready: boolean;
  /** `ok`, or what is missing, by condition. */
  readonly conditions: Readonly<Record<string, string>>;
}

export class Readiness {
  readonly #conditions = new Map<string, string>();
  readonly #listeners = new Set<(report: ReadinessReport) => void>();

  /** `names` are the conditions that must come true, such as `log recovered`. */
  constructor(names: readonly string[]) {
    for (const name of names) this.#conditions.set(name, 'not yet');
  }

  /** The condition holds. */
  pass(name: string): void {
    this.#set(name, 'ok');
  }

  /** The condition does not hold, or no longer; `reason` says why. A new name adds a condition. */
  fail(name: string, reason: string): void {
    this.#set(name, reason === 'ok' ? 'failed' : reason);
  }

  get ready(): boolean {
    for (const state of this.#conditions.values()) if (state !== 'ok') return false;
    return true;
  }

  report(): ReadinessReport {
    return { ready: this.ready, conditions: Object.fromEntries(this.#conditions) };
  }

  /** Calls `listener` at each change of a condition, until the function that it returns is called. */
  onChange(listener: (report: ReadinessReport) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #set(name: string, state: string): void {
    if (this.#conditions.get(name) === state) return;
    this.#conditions.set(name, state);
    const report = this.report();
    for (const listener of this.#listeners) listener(report);
  }
}
