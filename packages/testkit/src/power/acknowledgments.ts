/** What producers were promised and nobody has found on the disks yet, and when each partition acknowledged last. */

type Promised = readonly [offset: number, value: string];

export class Acknowledgments {
  /** By partition. An offset that was promised to two values is here twice, and one of them will not be found. */
  readonly #open = new Map<string, Promised[]>();
  /** By partition: when its youngest acknowledged record was sent. */
  readonly #newestSentMs = new Map<string, number>();

  note(partition: string, offset: number, value: string, sentMs: number): void {
    const open = this.#open.get(partition) ?? [];
    this.#open.set(partition, open);
    open.push([offset, value]);
    this.#newestSentMs.set(partition, Math.max(sentMs, this.#newestSentMs.get(partition) ?? 0));
  }

  /** The offset after the last one that is open, 0 when none is. */
  endOf(partition: string): number {
    return (this.#open.get(partition) ?? []).reduce((end, [offset]) => Math.max(end, offset + 1), 0);
  }

  /** Those below an offset; they are not open any more. */
  takeBelow(partition: string, end: number): readonly Promised[] {
    const { below = [], above = [] } = Object.groupBy(this.#open.get(partition) ?? [], ([offset]) => {
      return offset < end ? 'below' : 'above';
    });
    this.#open.set(partition, above);
    return below;
  }

  /** Whether a record was acknowledged that was sent after this moment. */
  hasSince(partition: string, sinceMs: number): boolean {
    return (this.#newestSentMs.get(partition) ?? 0) > sinceMs;
  }
}
