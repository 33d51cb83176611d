/**
 * The file that compaction writes beside the log: frames in order, with one gap frame for each run of offsets without records.
 * Invariant: like a segment it has no hole, each frame begins where the one before it ends. Memory: what one chunk has added.
 */
import { FrameCursor, type Gap, gapFrame } from '@fleetmq/record';
import { assert, type DiskFile, isDomainError, type Offset } from '@fleetmq/shared';
import { fileName } from './files.ts';
import { indexedFrame } from './scan.ts';
import { type LogFolder, syncOrFail } from './segment.ts';
import { SparseIndex } from './sparse-index.ts';

export class CleanedFile {
  readonly path: string;
  readonly index: SparseIndex;
  readonly #folder: LogFolder;
  readonly #file: DiskFile;
  readonly #intervalBytes: number;
  #pieces: Uint8Array[] = [];
  #writtenBytes = 0;
  #gap: Gap | undefined;
  #isOpen = true;

  constructor(folder: LogFolder, file: DiskFile, baseOffset: Offset, intervalBytes: number) {
    this.#folder = folder;
    this.#file = file;
    this.#intervalBytes = intervalBytes;
    this.path = pathOf(folder, baseOffset);
    this.index = new SparseIndex(baseOffset);
  }

  static async create(folder: LogFolder, baseOffset: Offset, intervalBytes: number): Promise<CleanedFile> {
    const file = await folder.disk.open(pathOf(folder, baseOffset), 'create');
    await file.truncate(0);
    return new CleanedFile(folder, file, baseOffset, intervalBytes);
  }

  get size(): number {
    return this.index.coveredPosition;
  }

  /** Whole frames one behind the other; their memory must not change before the next `flush`. */
  add(frames: Uint8Array): void {
    this.#closeGap();
    this.#append(frames);
  }

  /** Nothing is left of these offsets. */
  addGap(gap: Gap): void {
    const open = this.#gap;
    if (open !== undefined && open.leaderEpoch !== gap.leaderEpoch) this.#closeGap();
    this.#gap = { ...gap, baseOffset: this.#gap?.baseOffset ?? gap.baseOffset };
  }

  /** Writes what was added. */
  async flush(): Promise<void> {
    const pieces = this.#pieces.splice(0);
    if (pieces.length === 0) return;
    await this.#file.write(pieces, this.#writtenBytes);
    this.#writtenBytes = this.size;
  }

  /** Whole and durable up to `endOffset`. */
  async finish(endOffset: Offset): Promise<void> {
    this.#closeGap();
    await this.flush();
    assert(this.index.coveredOffset === endOffset, `compacted up to ${this.index.coveredOffset}, not ${endOffset}`);
    await syncOrFail(() => this.#file.sync(), this.path);
    await this.#close();
  }

  /** It is not needed. What cannot be removed is removed when the log is opened next. */
  async discard(): Promise<void> {
    try {
      await this.#close();
      await this.#folder.disk.remove(this.path);
    } catch (error) {
      if (!isDomainError(error)) throw error;
    }
  }

  async #close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#file.close();
  }

  #closeGap(): void {
    const gap = this.#gap;
    this.#gap = undefined;
    if (gap !== undefined) this.#append(gapFrame(gap, this.#folder.checksum));
  }

  #append(frames: Uint8Array): void {
    const cursor = new FrameCursor(frames);
    while (cursor.next() === 'frame') {
      const { baseOffset } = cursor.trailer;
      assert(baseOffset === this.index.coveredOffset, `a frame of ${baseOffset} behind ${this.index.coveredOffset}`);
      this.index.note(indexedFrame(cursor), this.#intervalBytes);
    }
    this.#pieces.push(frames);
  }
}

function pathOf(folder: LogFolder, baseOffset: Offset): string {
  return `${folder.path}/${fileName(baseOffset, 'cleaned')}`;
}
