/** Which values are exempt from which rule: see `Exemptions` and docs/simulation.md, where each of these has its reason. */
import { none } from './columns.ts';
import type { Exemptions } from './events.ts';
import type { Ledger, Partition } from './ledger.ts';

export class Rules {
  readonly #ledger: Ledger;
  readonly #logStarts: ReadonlyMap<string, number>;
  readonly #unsafe: ReadonlySet<string>;
  readonly #compacted: ReadonlySet<string>;

  /** `given` is added to what the history itself says. */
  constructor(ledger: Ledger, given: Exemptions) {
    const all = [...ledger.exemptions, given];
    const logStarts = new Map<string, number>();
    for (const [name, offset] of all.flatMap(({ logStarts: starts = {} }) => Object.entries(starts))) {
      logStarts.set(name, Math.max(offset, logStarts.get(name) ?? 0));
    }
    this.#ledger = ledger;
    this.#logStarts = logStarts;
    this.#unsafe = new Set(all.flatMap(({ unsafeFlush = [] }) => unsafeFlush));
    this.#compacted = new Set(all.flatMap(({ compacted = [] }) => compacted));
  }

  logStart({ name }: Partition): number {
    return this.#logStarts.get(name) ?? 0;
  }

  isCompacted({ topic }: Partition): boolean {
    return this.#compacted.has(topic);
  }

  /** Whether its acknowledgment promises that it stays. */
  isKept(value: number): boolean {
    const { sender } = this.#ledger.values;
    const isBinding = this.#ledger.bindingOf(sender.at(value)) === 'binding';
    return isBinding && !this.#unsafe.has(this.#ledger.partitionOf(value).topic);
  }

  /** Whether it was acknowledged at an offset that is nobody else's. */
  isPlaced(value: number): boolean {
    if (!this.isAcknowledged(value) || this.#ledger.values.ackedOffset.at(value) < 0) return false;
    const binding = this.#ledger.bindingOf(this.#ledger.values.sender.at(value));
    const isRead = this.#ledger.values.readOffset.at(value) >= 0;
    return this.isKept(value) || (binding !== 'nothing' && isRead);
  }

  isAcknowledged(value: number): boolean {
    const sender = this.#ledger.values.sender.at(value);
    return sender !== none && this.#ledger.certaintyOf(sender) === 'ok';
  }

  /** What only readers of uncommitted records have seen of a transaction may have been aborted. */
  isCommitted(value: number): boolean {
    const { sender, isReadCommitted } = this.#ledger.values;
    const operation = sender.at(value);
    const isOfTransaction = operation !== none && this.#ledger.kindOf(operation) === 'txn';
    return !isOfTransaction || isReadCommitted.at(value) === 1 || this.isAcknowledged(value);
  }
}
