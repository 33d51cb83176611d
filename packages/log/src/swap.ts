/**
 * Puts a file that compaction has written in the place of the segments that it was made of, so that a crash at any moment leaves
 * either them or it (format.md, "Changing the log"). The new file takes the name of the first of them by one rename. When it
 * stands for several, a note made before says what the rename means for the others: recovery removes them, or the new file.
 */
import { readTrailer, trailerBytes } from '@fleetmq/record';
import { isDomainError, type Offset, toOffset } from '@fleetmq/shared';
import { corruptLog, fileName, newEnvelope, offsetsOfKind, openEnvelope, sealEnvelope, swapName } from './files.ts';
import type { Gate } from './gate.ts';
import { type LogFolder, Segment, syncOrFail } from './segment.ts';
import type { Segments } from './segments.ts';
import type { SparseIndex } from './sparse-index.ts';

/** A file that is whole and durable, beside the log. */
export interface CleanedSegment {
  readonly path: string;
  readonly size: number;
  readonly index: SparseIndex;
}

interface SwapNote {
  readonly baseOffset: Offset;
  readonly endOffset: Offset;
  readonly size: number;
}

const magic = 'FMQS';

/** Replaces `sources`, which follow one another. DISK_FULL has changed nothing. */
export async function swapSegments(
  { segments, gate }: { readonly segments: Segments; readonly gate: Gate },
  sources: readonly Segment[],
  cleaned: CleanedSegment,
): Promise<void> {
  const { folder } = segments;
  const first = sources[0] as Segment;
  const { endOffset } = sources.at(-1) as Segment;
  const segment = new Segment(folder, { baseOffset: first.baseOffset, size: cleaned.size, endOffset });
  segment.index = cleaned.index;
  segment.indexIsProven = true;
  if (sources.length > 1) await writeNote(folder, { baseOffset: first.baseOffset, endOffset, size: cleaned.size });
  await folder.disk.remove(first.indexPath);
  await sync(folder);
  // Reads that began before have the old files open; those that come after find the new one.
  await gate.change(async () => {
    await segments.closeFiles(sources);
    await folder.disk.rename(cleaned.path, first.path);
    segments.replace(sources, segment);
  });
  await sync(folder);
  for (const source of sources.slice(1)) await removeSegment(folder, source.baseOffset);
  if (sources.length > 1) await removeNote(folder);
  await segments.saveIndex(segment);
}

/**
 * Ends a swap that a crash has interrupted, either way, and removes what a compaction has left unused. To be called before anything
 * else looks at the segments. CORRUPT_LOG when the note of a swap cannot be read.
 */
export async function finishSwap(folder: LogFolder, names: readonly string[]): Promise<void> {
  const { disk, path, checksum } = folder;
  if (names.includes(swapName)) {
    const note = decodeNote(await disk.readFile(`${path}/${swapName}`), checksum);
    if (note === undefined) throw corruptLog(`${path}/${swapName}`, 0, 'the note of a swap of segments is damaged');
    const bases = offsetsOfKind(names, 'log');
    if (await isSwapped(folder, note)) {
      const replaced = bases.filter((base) => base > note.baseOffset && base < note.endOffset);
      for (const base of replaced) await removeSegment(folder, base);
      await sync(folder);
    }
    await removeNote(folder);
  }
  const unused = offsetsOfKind(names, 'cleaned');
  for (const base of unused) await disk.remove(`${path}/${fileName(base, 'cleaned')}`);
  if (unused.length > 0) await sync(folder);
}

async function isSwapped({ disk, path }: LogFolder, note: SwapNote): Promise<boolean> {
  const file = await disk.open(`${path}/${fileName(note.baseOffset, 'log')}`, 'read');
  try {
    if ((await file.size()) !== note.size) return false;
    return readTrailer(await file.read(note.size - trailerBytes, trailerBytes)).endOffset === note.endOffset;
  } catch (error) {
    if (isDomainError(error) && error.code === 'CORRUPT_BATCH') return false;
    throw error;
  } finally {
    await file.close();
  }
}

async function removeSegment({ disk, path }: LogFolder, base: Offset): Promise<void> {
  for (const kind of ['index', 'log'] as const) await disk.remove(`${path}/${fileName(base, kind)}`);
}

async function writeNote({ disk, path, checksum }: LogFolder, note: SwapNote): Promise<void> {
  const writer = newEnvelope(magic).varint(note.baseOffset).varint(note.endOffset).varint(note.size);
  await disk.writeFileAtomic(`${path}/${swapName}`, sealEnvelope(writer, checksum));
}

/** Only once what it says is done, durably. */
async function removeNote(folder: LogFolder): Promise<void> {
  await sync(folder);
  await folder.disk.remove(`${folder.path}/${swapName}`);
  await sync(folder);
}

function decodeNote(bytes: Uint8Array | undefined, checksum: LogFolder['checksum']): SwapNote | undefined {
  return openEnvelope(bytes, magic, checksum, (reader) => ({
    baseOffset: toOffset(reader.varint()),
    endOffset: toOffset(reader.varint()),
    size: reader.varint(),
  }));
}

function sync({ disk, path }: LogFolder): Promise<void> {
  return syncOrFail(() => disk.syncFolder(path), path);
}
