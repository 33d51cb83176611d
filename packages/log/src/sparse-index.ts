/**
 * The sparse index of one segment, in memory: where to start looking for an offset or a time. It is a pure function of the
 * segment's frames and of the interval, and it is never believed without reading the frame that it leads to.
 *
 * Entries lie in arrays of numbers (24 bytes each, one per `indexIntervalBytes`). Invariants: offsets and positions rise
 * strictly, times never fall; the first entry, if there is one, is the segment's first frame.
 */
import { type Checksum, DomainError, type Offset, toOffset } from '@fleetmq/shared';
import { newEnvelope, openEnvelope, sealEnvelope } from './files.ts';

/** What the index needs of a frame. */
export interface IndexedFrame {
  readonly baseOffset: number;
  readonly endOffset: number;
  readonly byteLength: number;
  /** `max_timestamp` of the batch, or its append time where that is missing. */
  readonly timeMs: number;
  readonly appendTimeMs: number;
}

/** A place that a frame starts at. */
export interface FramePlace {
  readonly offset: number;
  readonly position: number;
}

const magic = 'FMQI';
/** Few: most logs of a broker with many are small. */
const initialEntries = 4;

export class SparseIndex {
  readonly baseOffset: Offset;
  count = 0;
  #offsets = new Float64Array(initialEntries);
  #positions = new Float64Array(initialEntries);
  #times = new Float64Array(initialEntries);
  /** The frames below this place are indexed. */
  coveredPosition = 0;
  coveredOffset: number;
  /** Append times of the first and the last frame, and the highest frame time; 0 when there is no frame. */
  firstAppendMs = 0;
  lastAppendMs = 0;
  maxTimeMs = 0;

  constructor(baseOffset: Offset) {
    this.baseOffset = baseOffset;
    this.coveredOffset = baseOffset;
  }

  /** Takes note of the frame at `coveredPosition`. */
  note(frame: IndexedFrame, intervalBytes: number): void {
    const last = this.count === 0 ? Number.NEGATIVE_INFINITY : (this.#positions[this.count - 1] as number);
    if (this.coveredPosition - last >= intervalBytes)
      this.#push(frame.baseOffset, this.coveredPosition, this.maxTimeMs);
    if (this.coveredPosition === 0) this.firstAppendMs = frame.appendTimeMs;
    this.coveredPosition += frame.byteLength;
    this.coveredOffset = frame.endOffset;
    this.lastAppendMs = frame.appendTimeMs;
    this.maxTimeMs = Math.max(this.maxTimeMs, frame.timeMs);
  }

  /** The last indexed frame that begins at or below `offset`. */
  placeOf(offset: number): FramePlace {
    return this.#place(this.#countWhere((i) => (this.#offsets[i] as number) <= offset));
  }

  /** Every frame before this place has a time below `timeMs`. */
  placeOfTime(timeMs: number): FramePlace {
    return this.#place(this.#countWhere((i) => (this.#times[i] as number) < timeMs));
  }

  /**
   * Forgets everything from the last indexed frame below `position` on. The frames from `coveredPosition` up to `position`
   * must be noted again; until then the append times and the highest time are not right.
   */
  rewind(position: number): void {
    const below = this.#countWhere((i) => (this.#positions[i] as number) < position);
    const place = this.#place(below);
    this.count = Math.max(0, below - 1);
    this.maxTimeMs = this.#times[this.count] as number;
    this.coveredPosition = place.position;
    this.coveredOffset = place.offset;
    if (place.position > 0) return;
    this.firstAppendMs = 0;
    this.lastAppendMs = 0;
    this.maxTimeMs = 0;
  }

  encode(checksum: Checksum): Uint8Array {
    const writer = newEnvelope(magic).varint(this.baseOffset).varint(this.coveredPosition).varint(this.coveredOffset);
    writer.varint(this.firstAppendMs).varint(this.lastAppendMs).varint(this.maxTimeMs).varint(this.count);
    for (let i = 0; i < this.count; i++) {
      writer.varint(difference(this.#offsets, i, this.baseOffset));
      writer.varint(difference(this.#positions, i, 0));
      writer.varint(difference(this.#times, i, 0));
    }
    return sealEnvelope(writer, checksum);
  }

  /** Undefined when the bytes are absent, damaged, or of another segment. */
  static decode(bytes: Uint8Array | undefined, baseOffset: Offset, checksum: Checksum): SparseIndex | undefined {
    return openEnvelope(bytes, magic, checksum, (reader) => {
      if (reader.varint() !== baseOffset) throw new DomainError('CORRUPT_LOG', 'an index of another segment');
      const index = new SparseIndex(baseOffset);
      index.coveredPosition = reader.varint();
      index.coveredOffset = toOffset(reader.varint());
      index.firstAppendMs = reader.varint();
      index.lastAppendMs = reader.varint();
      index.maxTimeMs = reader.varint();
      const count = reader.varint();
      let offset: number = baseOffset;
      let position = 0;
      let timeMs = 0;
      for (let i = 0; i < count; i++) {
        offset += reader.varint();
        position += reader.varint();
        timeMs += reader.varint();
        index.#push(offset, position, timeMs);
      }
      return index;
    });
  }

  #place(found: number): FramePlace {
    if (found === 0) return { offset: this.baseOffset, position: 0 };
    return { offset: this.#offsets[found - 1] as number, position: this.#positions[found - 1] as number };
  }

  /** Number of leading entries for which `holds`, which is true for a prefix. */
  #countWhere(holds: (entry: number) => boolean): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (holds(middle)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #push(offset: number, position: number, timeMs: number): void {
    if (this.count === this.#offsets.length) {
      this.#offsets = doubled(this.#offsets);
      this.#positions = doubled(this.#positions);
      this.#times = doubled(this.#times);
    }
    this.#offsets[this.count] = offset;
    this.#positions[this.count] = position;
    this.#times[this.count] = timeMs;
    this.count++;
  }
}

function difference(values: Float64Array, i: number, origin: number): number {
  return (values[i] as number) - (i === 0 ? origin : (values[i - 1] as number));
}

function doubled(values: Float64Array): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(values.length * 2);
  larger.set(values);
  return larger;
}
