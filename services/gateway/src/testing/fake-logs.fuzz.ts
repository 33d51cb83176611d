/** What the brokers of a fake cluster share: one log per partition, and who really leads it, whatever the metadata says. */
import type { RecordBatch } from '@fleetmq/gen/common/types';

export interface Place {
  readonly topic: string;
  readonly partition: number;
}

interface StoredBatch {
  readonly baseOffset: number;
  readonly records: RecordBatch['records'];
  /** What a repeated batch is recognised by; empty: by nothing. */
  readonly identity: string;
}

const keyOf = ({ topic, partition }: Place): string => `${topic}:${partition}`;

export class FakeLogs {
  readonly #logs = new Map<string, StoredBatch[]>();
  readonly #starts = new Map<string, number>();
  readonly #leaders = new Map<string, number>();
  readonly #readers = new Set<() => void>();
  nextProducerId = 1_000n;

  /** 0: nobody. */
  leaderOf(place: Place): number {
    return this.#leaders.get(keyOf(place)) ?? 0;
  }

  setLeader(place: Place, brokerId: number): void {
    this.#leaders.set(keyOf(place), brokerId);
  }

  /** As `setLeader`, and whoever waits at the old one looks again. */
  move(place: Place, brokerId: number): void {
    this.setLeader(place, brokerId);
    this.#wakeReaders();
  }

  log(place: Place): readonly StoredBatch[] {
    return this.#logs.get(keyOf(place)) ?? [];
  }

  start(place: Place): number {
    return this.#starts.get(keyOf(place)) ?? 0;
  }

  setStart(place: Place, offset: number): void {
    this.#starts.set(keyOf(place), offset);
  }

  end(place: Place): number {
    const last = this.log(place).at(-1);
    return last === undefined ? 0 : last.baseOffset + last.records.length;
  }

  values(place: Place): string[] {
    return this.log(place).flatMap(({ records }) => records.map((record) => new TextDecoder().decode(record.value)));
  }

  /** The base offset; that of the first time for a batch that is recognised. */
  append(place: Place, records: RecordBatch['records'], identity = ''): number {
    const log = this.#logs.get(keyOf(place)) ?? [];
    const known = log.find((batch) => identity !== '' && batch.identity === identity);
    if (known !== undefined) return known.baseOffset;
    const baseOffset = this.end(place);
    this.#logs.set(keyOf(place), [...log, { baseOffset, records, identity }]);
    this.#wakeReaders();
    return baseOffset;
  }

  /** Resolves when anything was appended, when the time is over, or when the signal aborts. */
  grown(withinMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#readers.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, withinMs);
      this.#readers.add(done);
      signal.addEventListener('abort', done, { once: true });
      if (signal.aborted) done();
    });
  }

  #wakeReaders(): void {
    for (const wake of [...this.#readers]) wake();
  }
}
