/**
 * What changes a log other than by appending: checkpoints, truncation, reset, deletion from the front. Each change is a
 * sequence of durable steps (format.md, "Changing the log"): a crash between two of them leaves the log as it was before or
 * as it is after. upkeep.ts runs one change at a time, and stops the writer where it matters.
 */
import { assert, DomainError, isDomainError, type Offset, toOffset } from '@fleetmq/shared';
import type { Bookkeeper } from './bookkeeper.ts';
import type { EpochCache } from './epochs.ts';
import { corruptLog } from './files.ts';
import type { Gate } from './gate.ts';
import type { ProducerMemory } from './producer-snapshot.ts';
import { scanFrames } from './scan.ts';
import type { Segment } from './segment.ts';
import type { Segments } from './segments.ts';

/** The parts of a log that a change touches. */
export interface LogParts {
  readonly segments: Segments;
  readonly epochs: EpochCache;
  readonly producers: ProducerMemory;
  readonly books: Bookkeeper;
  readonly gate: Gate;
}

/** A frame border: the log is cut here. */
export interface CutPoint {
  readonly segment: Segment;
  readonly position: number;
  readonly offset: Offset;
}

/** Records the durable end, so that a restart has less to scan. What an unsafe flush policy left unsynced is synced first. */
export async function recordDurableEnd(parts: LogParts, clean: boolean): Promise<void> {
  const { segments, books } = parts;
  const recovery = books.durablePoint();
  if (segments.active !== undefined) {
    await segments.active.sync();
    await segments.saveIndex(segments.active);
  }
  await books.record({ recovery, clean });
}

/** The last frame border at or below `offset`, which is inside of the log. CORRUPT_LOG when a frame before it is damaged. */
export async function findCut(segments: Segments, offset: Offset): Promise<CutPoint> {
  const segment = segments.find(offset);
  assert(segment !== undefined, `no segment holds offset ${offset}`);
  return segments.with(segment, async (file, index) => {
    const range = { ...index.placeOf(offset), end: segment.size };
    const scanned = await scanFrames(
      file,
      range,
      segments.folder.checksum,
      ({ trailer }) => trailer.endOffset <= offset,
    );
    // P13: a frame that cannot be read is no reason to cut there.
    if (scanned.fault !== undefined) throw corruptLog(segment.path, scanned.position, scanned.fault);
    return { segment, position: scanned.position, offset: toOffset(scanned.offset) };
  });
}

/** Cuts the log. DISK_FULL has changed nothing; after any other error the parts no longer agree. */
export async function cutAt(parts: LogParts, cut: CutPoint): Promise<void> {
  const { segments, epochs, producers, books, gate } = parts;
  await gate.change(async () => {
    if (books.recorded.recovery.offset > cut.offset) {
      const recovery = { segment: cut.segment.baseOffset, position: cut.position, offset: cut.offset };
      await books.record({ recovery });
    }
    await books.cutCompaction(cut.offset);
    await mustFinish(async () => {
      await books.dropSnapshotsAbove(cut.offset);
      await segments.truncate(cut.segment, cut.position, cut.offset);
      epochs.truncateTo(cut.offset);
      await books.rebuildProducers(producers, cut.offset);
    });
  });
}

/** Drops everything: the log is empty at `offset`, and knows of producers what `seed` does. DISK_FULL has changed nothing. */
export async function reset(parts: LogParts, offset: Offset, seed?: ProducerMemory): Promise<void> {
  const { segments, epochs, producers, books, gate } = parts;
  await gate.change(async () => {
    const seedBytes = seed === undefined ? undefined : books.encodeProducers(seed, offset);
    await books.saveSeed(seedBytes);
    await books.record({ startOffset: offset, recovery: { segment: offset, position: 0, offset }, discard: true });
    await mustFinish(async () => {
      epochs.clear();
      producers.clear();
      await books.dropSnapshotsAbove(-1);
      await books.forgetCompaction();
      await segments.removeFiles(segments.dropFirst(segments.list.length));
      if (seed !== undefined) producers.replaceWith(seed);
      if (seedBytes !== undefined) await books.saveProducers(offset, seedBytes);
      await books.record({});
      await books.saveSeed(undefined);
    });
  });
}

/**
 * Writes down what was known of producers where `segment` begins, if nothing says it yet: what lies before is about to go.
 * A frame that is damaged there is no reason to keep it: then what is known now has to do.
 */
export async function saveProducersBefore({ producers, books }: LogParts, segment: Segment): Promise<void> {
  const { baseOffset } = segment;
  if (books.hasSnapshotAt(baseOffset)) return;
  let known = producers.emptyCopy();
  try {
    await books.rebuildProducers(known, baseOffset);
  } catch (error) {
    if (!isDomainError(error) || error.code !== 'CORRUPT_LOG') throw error;
    known = producers.copyBelow(baseOffset);
  }
  await books.saveProducers(baseOffset, books.encodeProducers(known, baseOffset));
}

export interface DeletedFront {
  readonly segments: number;
  readonly bytes: number;
}

/**
 * Moves the log start to `startOffset` and removes the segments that lie below it; `onStart` is called when the new start is
 * durable, before a file goes. The active segment always stays. DISK_FULL has changed nothing.
 */
export async function deleteFront(parts: LogParts, startOffset: Offset, onStart: () => void): Promise<DeletedFront> {
  const { segments, epochs, books, gate } = parts;
  // The recovery point must not lie in what goes.
  const recovery = books.durablePoint();
  await segments.active?.sync();
  await books.record({ startOffset, recovery });
  onStart();
  epochs.trimTo(startOffset);
  const below = segments.list.filter((segment) => segment !== segments.active && segment.endOffset <= startOffset);
  const dropped = segments.dropFirst(below.length);
  // Reads that began before have the old files open.
  await gate.change(async () => undefined);
  await segments.removeFiles(dropped);
  return { segments: dropped.length, bytes: dropped.reduce((total, { size }) => total + size, 0) };
}

/** Steps behind the point of no return: whatever stops them leaves the log unusable, a full disk too. */
async function mustFinish(steps: () => Promise<void>): Promise<void> {
  try {
    await steps();
  } catch (error) {
    if (!isDomainError(error)) throw error;
    throw new DomainError('STORAGE_FAILED', `a change of the log stopped half-way: ${error.message}`, { cause: error });
  }
}
