/**
 * The leader-epoch cache (KIP-101, KIP-279): where each leader epoch began. A follower compares it with its leader's to
 * find the last offset that both share.
 *
 * Invariant: epochs and start offsets rise strictly from entry to entry. It is a function of the frames: one entry for the
 * first frame of each epoch that the log holds; the oldest may begin below the log start.
 */
import { type Checksum, type LeaderEpoch, type Offset, toOffset } from '@fleetmq/shared';
import { newEnvelope, openEnvelope, sealEnvelope } from './files.ts';

export interface EpochEntry {
  readonly epoch: LeaderEpoch;
  readonly startOffset: Offset;
}

export interface EpochEnd {
  /** The largest epoch that is not above the one asked for; 0 when there is none. */
  readonly epoch: LeaderEpoch;
  /** The offset after the last record of that epoch; the log start when there is none. */
  readonly endOffset: Offset;
}

const magic = 'FMQE';
const none = 0 as LeaderEpoch;

export class EpochCache {
  #entries: EpochEntry[];
  /** Whether entries were added or removed since the cache was last written. */
  dirty = false;

  constructor(entries: readonly EpochEntry[] = []) {
    this.#entries = [...entries];
  }

  get entries(): readonly EpochEntry[] {
    return this.#entries;
  }

  /** The epoch of the last frame; 0 for an empty log. */
  get last(): LeaderEpoch {
    return this.#entries.at(-1)?.epoch ?? none;
  }

  /** Notes that a frame of `epoch` begins at `offset`. Epochs never fall: the caller has checked that. */
  note(epoch: LeaderEpoch, offset: Offset): void {
    if (this.#entries.length > 0 && epoch === this.last) return;
    this.#entries.push({ epoch, startOffset: offset });
    this.dirty = true;
  }

  /** KIP-101: the largest epoch that is not above `asked`, and where it ends. */
  endOf(asked: number, bounds: { readonly startOffset: Offset; readonly endOffset: Offset }): EpochEnd {
    let index = this.#entries.length - 1;
    while (index >= 0 && (this.#entries[index] as EpochEntry).epoch > asked) index--;
    const entry = this.#entries[index];
    if (entry === undefined) return { epoch: none, endOffset: bounds.startOffset };
    return { epoch: entry.epoch, endOffset: this.#entries[index + 1]?.startOffset ?? bounds.endOffset };
  }

  /** Forgets what begins at or above `endOffset`. */
  truncateTo(endOffset: Offset): void {
    const kept = this.#entries.filter((entry) => entry.startOffset < endOffset);
    this.dirty ||= kept.length !== this.#entries.length;
    this.#entries = kept;
  }

  /**
   * Forgets epochs that end below `startOffset`. One that ends there stays, though none of its records does: where it ended is
   * what a follower may ask.
   */
  trimTo(startOffset: Offset): void {
    let first = 0;
    while ((this.#entries[first + 1]?.startOffset ?? Number.POSITIVE_INFINITY) < startOffset) first++;
    if (first === 0) return;
    this.#entries = this.#entries.slice(first);
    this.dirty = true;
  }

  clear(): void {
    this.#entries = [];
    this.dirty = true;
  }
}

export function encodeEpochs(entries: readonly EpochEntry[], checksum: Checksum): Uint8Array {
  const writer = newEnvelope(magic).varint(entries.length);
  for (const { epoch, startOffset } of entries) writer.varint(epoch).varint(startOffset);
  return sealEnvelope(writer, checksum);
}

/** Undefined when the file is absent or damaged, or its entries do not rise. */
export function decodeEpochs(bytes: Uint8Array | undefined, checksum: Checksum): EpochEntry[] | undefined {
  const entries = openEnvelope(bytes, magic, checksum, (reader) => {
    const count = reader.varint();
    const read: EpochEntry[] = [];
    for (let i = 0; i < count; i++) {
      const epoch = reader.varint() as LeaderEpoch;
      read.push({ epoch, startOffset: toOffset(reader.varint()) });
    }
    return read;
  });
  const rises = entries?.every((entry, i) => {
    const previous = entries[i - 1];
    return previous === undefined || (entry.epoch > previous.epoch && entry.startOffset > previous.startOffset);
  });
  return rises === true ? entries : undefined;
}
