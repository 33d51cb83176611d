/**
 * The write-ahead log as files: segments named by their number, the last of them open for appending. `wal-format.ts` has
 * the bytes and the recovery; this file has the order of the system calls.
 *
 * Invariants: one append at a time, each one batch: written, then made durable, then acknowledged; a new segment is durable
 * in its folder before anything is written to it; segments go only from the front, and only when all of their entries are
 * in a durable snapshot. After the first failure every further call is refused: what is on disk is not known any more.
 * The file `end` holds the number of the last durable batch, written after it and never waited for: when the log is found
 * to end before that, its tail was damaged, not torn.
 */
import type { Entry } from '@fleetmq/raft';
import { type Checksum, type Disk, type DiskFile, DomainError, type Logger, viewOf } from '@fleetmq/shared';
import {
  encodeBatch,
  type RecoveredWal,
  recoverWal,
  type SegmentBytes,
  type WalRecord,
  walVersion,
} from './wal-format.ts';

export interface WalOptions {
  readonly disk: Disk;
  readonly folder: string;
  readonly checksum: Checksum;
  readonly logger: Logger;
  /** A segment that is longer is closed and a new one begun. Default 16 MiB. */
  readonly segmentBytes: number;
}

interface Segment {
  readonly segment: number;
  lastIndex: number;
}

const segmentName = /^([0-9]{10})\.wal$/;
const endSlotBytes = 16;

export class RaftWal {
  readonly #options: WalOptions;
  readonly #closed: Segment[];
  readonly #endFile: DiskFile;
  #active: Segment;
  #file: DiskFile;
  #position: number;
  #lastBatch: number;
  /** Of the log as it is now. */
  #lastIndex: number;
  #endWrite: Promise<void> = Promise.resolve();
  #failure: unknown;

  private constructor(
    options: WalOptions,
    state: {
      segments: Segment[];
      file: DiskFile;
      endFile: DiskFile;
      position: number;
      lastBatch: number;
      lastIndex: number;
    },
  ) {
    this.#options = options;
    this.#active = state.segments[state.segments.length - 1] as Segment;
    this.#closed = state.segments.slice(0, -1);
    this.#file = state.file;
    this.#endFile = state.endFile;
    this.#position = state.position;
    this.#lastBatch = state.lastBatch;
    this.#lastIndex = state.lastIndex;
  }

  /** Makes an empty log. */
  static async create(options: WalOptions): Promise<void> {
    await options.disk.makeFolder(options.folder);
    const { file } = await createSegment(options, { segment: 1, batch: 1, lastIndex: 0 });
    await file.close();
  }

  /** Opens what `create` made, cuts a torn tail, and returns what the log holds. CORRUPT_LOG as `recoverWal`. */
  static async open(options: WalOptions): Promise<{ wal: RaftWal; recovered: RecoveredWal }> {
    const { disk, folder, checksum, logger } = options;
    const files: SegmentBytes[] = [];
    for (const name of await disk.list(folder)) {
      const number = segmentName.exec(name)?.[1];
      const bytes = number === undefined ? undefined : await disk.readFile(`${folder}/${name}`);
      if (bytes !== undefined) files.push({ segment: Number(number), bytes });
    }
    const recovered = recoverWal(files, checksum);
    const endFile = await disk.open(`${folder}/end`, 'create');
    await refuseIfShorter(endFile, recovered, checksum);
    const segments = recovered.segments.map(({ segment, lastIndex }): Segment => ({ segment, lastIndex }));
    const last = recovered.segments[recovered.segments.length - 1];
    if (last === undefined) throw new DomainError('CORRUPT_LOG', `${folder} has no segment of the write-ahead log`);
    if (recovered.tornBytes > 0) {
      logger.warn({ segment: last.segment, bytes: recovered.tornBytes }, 'cutting a torn write off the log');
    }
    const { lastBatch, entries, base } = recovered;
    const lastIndex = entries[entries.length - 1]?.index ?? base;
    if (last.end === 0) {
      // The node died while it made this segment: nothing was ever in it.
      const begun = { segment: last.segment, batch: lastBatch + 1, lastIndex };
      const { file, position } = await createSegment(options, begun);
      const state = { segments, file, endFile, position, lastBatch: lastBatch + 1, lastIndex };
      return { wal: new RaftWal(options, state), recovered };
    }
    const file = await disk.open(segmentPath(folder, last.segment), 'read-write');
    if (recovered.tornBytes > 0) await file.truncate(last.end);
    // A process that was killed may have left a batch, or a segment's name, that the disk does not have yet: what counts
    // as durable from here on must be.
    await file.sync();
    await disk.syncFolder(folder);
    const state = { segments, file, endFile, position: last.end, lastBatch, lastIndex };
    return { wal: new RaftWal(options, state), recovered };
  }

  /** A call has failed: what is on disk is not known, and every further one is refused. */
  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** Durable when it resolves. Not to be called again before; `records` is not empty. */
  async append(records: readonly WalRecord[]): Promise<void> {
    await this.#guarded(async () => {
      if (this.#position >= this.#options.segmentBytes) await this.#roll();
      const bytes = encodeBatch(this.#lastBatch + 1, records, this.#options.checksum);
      await this.#file.write([bytes], this.#position);
      await this.#file.sync();
      this.#position += bytes.length;
      this.#lastBatch++;
      for (const record of records) {
        if (record.kind === 'entry') {
          this.#lastIndex = record.entry.index;
          this.#active.lastIndex = Math.max(this.#active.lastIndex, record.entry.index);
        } else if (record.kind === 'reset') {
          this.#lastIndex = record.index;
        }
      }
      await this.#noteEnd();
    });
  }

  /** Removes the segments whose entries are all at or before `index`. Not to be called while an append runs. */
  async compact(index: number): Promise<void> {
    await this.#guarded(async () => {
      const { disk, folder } = this.#options;
      let removed = 0;
      for (let first = this.#closed[0]; first !== undefined && first.lastIndex <= index; first = this.#closed[0]) {
        await disk.remove(segmentPath(folder, first.segment));
        // One by one and durable in order: a gap in the numbers would be taken for damage.
        await disk.syncFolder(folder);
        this.#closed.shift();
        removed++;
      }
      if (removed > 0) this.#options.logger.debug({ removed, index }, 'removed segments of the log');
    });
  }

  async close(): Promise<void> {
    await this.#endWrite.catch(() => undefined);
    await this.#file.close();
    await this.#endFile.close();
  }

  async #roll(): Promise<void> {
    const next: Segment = { segment: this.#active.segment + 1, lastIndex: 0 };
    const begun = { segment: next.segment, batch: this.#lastBatch + 1, lastIndex: this.#lastIndex };
    const { file, position } = await createSegment(this.#options, begun);
    await this.#file.close();
    this.#closed.push(this.#active);
    this.#active = next;
    this.#file = file;
    this.#position = position;
    this.#lastBatch++;
  }

  /** Waits for the note before, not for this one. */
  async #noteEnd(): Promise<void> {
    await this.#endWrite;
    const slot = encodeEndSlot(this.#lastBatch, this.#options.checksum);
    this.#endWrite = this.#endFile.write([slot], (this.#lastBatch % 2) * endSlotBytes);
    // Its failure is thrown where it is awaited, by the next append.
    this.#endWrite.catch(() => undefined);
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    if (this.#failure !== undefined) {
      throw new DomainError('STORAGE_FAILED', 'the write-ahead log is closed after an error', { cause: this.#failure });
    }
    try {
      await work();
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }
}

export function entryRecord(entry: Entry): WalRecord {
  return { kind: 'entry', entry };
}

function segmentPath(folder: string, segment: number): string {
  return `${folder}/${String(segment).padStart(10, '0')}.wal`;
}

async function createSegment(
  options: WalOptions,
  { segment, batch, lastIndex }: { readonly segment: number; readonly batch: number; readonly lastIndex: number },
): Promise<{ file: DiskFile; position: number }> {
  const { disk, folder, checksum } = options;
  const bytes = encodeBatch(batch, [{ kind: 'start', version: walVersion, segment, lastIndex }], checksum);
  const file = await disk.open(segmentPath(folder, segment), 'create');
  await file.truncate(0);
  await file.write([bytes], 0);
  await file.sync();
  await disk.syncFolder(folder);
  return { file, position: bytes.length };
}

async function refuseIfShorter(endFile: DiskFile, recovered: RecoveredWal, checksum: Checksum): Promise<void> {
  const bytes = await endFile.read(0, 2 * endSlotBytes);
  const noted = Math.max(decodeEndSlot(bytes, 0, checksum), decodeEndSlot(bytes, 1, checksum));
  if (noted > recovered.lastBatch) {
    throw new DomainError(
      'CORRUPT_LOG',
      `the write-ahead log ends with batch ${recovered.lastBatch}, but batch ${noted} was durable: its end is damaged; ` +
        'bring the file back from a copy of this disk, or replace the node',
    );
  }
}

function encodeEndSlot(batch: number, checksum: Checksum): Uint8Array {
  const bytes = new Uint8Array(endSlotBytes);
  const view = viewOf(bytes);
  view.setBigUint64(0, BigInt(batch), true);
  view.setUint32(8, checksum.crc32(bytes.subarray(0, 8)), true);
  return bytes;
}

/** 0 for a slot that was never written, or is torn. */
function decodeEndSlot(bytes: Uint8Array, slot: number, checksum: Checksum): number {
  const start = slot * endSlotBytes;
  if (bytes.length < start + 12) return 0;
  const view = viewOf(bytes);
  const isGood = checksum.crc32(bytes.subarray(start, start + 8)) === view.getUint32(start + 8, true);
  return isGood ? Number(view.getBigUint64(start, true)) : 0;
}
