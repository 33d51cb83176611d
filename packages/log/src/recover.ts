/**
 * Turns the files of a folder back into segments (format.md, "Recovery"). Decides what is a torn tail and is cut, what is a
 * leftover and is removed, and what is corruption: then nothing is changed, and CORRUPT_LOG names file and byte.
 *
 * Never cuts below the recovery point, never because a read failed, and never in a segment that is not the last.
 */
import { readTrailer, trailerBytes } from '@fleetmq/record';
import { isDomainError, type Offset, toOffset } from '@fleetmq/shared';
import type { Checkpoint } from './checkpoint.ts';
import { checkpointName, corruptLog, fileName, offsetsOfKind } from './files.ts';
import { scanFrames } from './scan.ts';
import { type LogFolder, Segment, syncOrFail } from './segment.ts';
import { isTornTail } from './tail.ts';

export interface RecoveredSegments {
  readonly segments: readonly Segment[];
  readonly endOffset: Offset;
  /** Bytes of a torn tail that were cut. */
  readonly cutBytes: number;
  /** Bytes above the recovery point that were scanned and are good. */
  readonly scannedBytes: number;
}

/** The segments of the log that `checkpoint` belongs to, cut where that is right. The active one is synced. */
export async function recoverSegments(
  folder: LogFolder,
  checkpoint: Checkpoint,
  names: readonly string[],
): Promise<RecoveredSegments> {
  const bases = await removeLeftovers(folder, checkpoint, offsetsOfKind(names, 'log'));
  const { recovery } = checkpoint;
  const recoveryIndex = bases.indexOf(recovery.segment);
  if (recoveryIndex < 0) {
    // Only a log that never had a segment, or was just reset, has none where the recovery point is.
    const isEmpty = bases.length === 0 && recovery.position === 0 && checkpoint.startOffset === recovery.offset;
    if (!isEmpty) throw corruptLog(pathOf(folder, recovery.segment), 0, 'the segment of the recovery point is missing');
    return { segments: [], endOffset: recovery.offset, cutBytes: 0, scannedBytes: 0 };
  }
  const segments: Segment[] = [];
  for (let i = 0; i < recoveryIndex; i++) {
    segments.push(await openSealed(folder, bases[i] as Offset, bases[i + 1] as Offset));
  }
  let cutBytes = 0;
  let scannedBytes = 0;
  for (let i = recoveryIndex; i < bases.length; i++) {
    const found = await scanSegment(folder, checkpoint, bases[i] as Offset, bases[i + 1]);
    segments.push(found.segment);
    cutBytes += found.cutBytes;
    scannedBytes += found.scannedBytes;
  }
  const active = segments.at(-1) as Segment;
  return { segments, endOffset: active.endOffset, cutBytes, scannedBytes };
}

/** Removes what an interrupted deletion left in front, and what came after a failure. Returns the bases that stay. */
async function removeLeftovers(folder: LogFolder, checkpoint: Checkpoint, bases: readonly Offset[]): Promise<Offset[]> {
  const { startOffset, clean, failed, recovery } = checkpoint;
  const first = bases.filter((base) => base <= startOffset).length - 1;
  if (first < 0 && bases.length > 0) {
    throw corruptLog(
      pathOf(folder, bases[0] as Offset),
      0,
      `the segment that holds the log start ${startOffset} is missing`,
    );
  }
  const kept = bases.slice(Math.max(0, first)).filter((base) => !failed || base <= recovery.segment);
  for (const base of bases) {
    if (kept.includes(base)) continue;
    await folder.disk.remove(`${folder.path}/${fileName(base, 'index')}`);
    await folder.disk.remove(pathOf(folder, base));
  }
  // What a killed process has made or removed may still be undone by a power cut: a removed segment would come back.
  if (!clean || kept.length < bases.length) await syncOrFail(() => folder.disk.syncFolder(folder.path), folder.path);
  return kept;
}

/** A segment below the recovery point: not read, but its last trailer must lead to the next segment. */
async function openSealed(folder: LogFolder, baseOffset: Offset, nextBase: Offset): Promise<Segment> {
  const segment = new Segment(folder, { baseOffset, size: 0, endOffset: nextBase });
  const file = await segment.file();
  segment.size = await file.size();
  await checkEnd(segment, segment.size, nextBase);
  await segment.close();
  return segment;
}

/** The frame that ends at `position` must end the offsets at `endOffset`. */
async function checkEnd(segment: Segment, position: number, endOffset: Offset): Promise<void> {
  const at = Math.max(0, position - trailerBytes);
  const bytes = await (await segment.file()).read(at, position - at);
  try {
    const found = readTrailer(bytes).endOffset;
    if (found === endOffset) return;
    throw corruptLog(segment.path, at, `the frame there ends at offset ${found}, expected is ${endOffset}`);
  } catch (error) {
    if (!isDomainError(error) || error.code !== 'CORRUPT_BATCH') throw error;
    throw corruptLog(segment.path, at, `no frame ends there, expected is one that ends at offset ${endOffset}`);
  }
}

interface ScannedSegment {
  readonly segment: Segment;
  readonly cutBytes: number;
  readonly scannedBytes: number;
}

/** A segment at or above the recovery point: every frame above it is verified. */
async function scanSegment(
  folder: LogFolder,
  checkpoint: Checkpoint,
  baseOffset: Offset,
  nextBase: Offset | undefined,
): Promise<ScannedSegment> {
  const { recovery, clean, failed } = checkpoint;
  const segment = new Segment(folder, { baseOffset, size: 0, endOffset: baseOffset });
  const file = await segment.file();
  const size = await file.size();
  const holdsPoint = baseOffset === recovery.segment;
  const position = holdsPoint ? recovery.position : 0;
  const offset = holdsPoint ? recovery.offset : baseOffset;
  if (size < position) throw corruptLog(segment.path, size, `the file ends there, durable was up to byte ${position}`);
  if (position > 0) await checkEnd(segment, position, offset);
  const end = failed ? position : size;
  const scanned = await scanFrames(file, { position, end, offset }, folder.checksum, () => true);
  if (nextBase !== undefined && (scanned.fault !== undefined || scanned.offset !== nextBase)) {
    const what = scanned.fault ?? `the segment ends at offset ${scanned.offset}, the next begins at ${nextBase}`;
    throw corruptLog(segment.path, scanned.position, what);
  }
  if (scanned.fault !== undefined) {
    const tail = await file.read(scanned.position, end - scanned.position);
    if (!isTornTail(tail, scanned, folder.checksum)) {
      throw corruptLog(segment.path, scanned.position, `${scanned.fault}, and whole frames follow`);
    }
  }
  segment.size = scanned.position;
  segment.endOffset = toOffset(scanned.offset);
  if (scanned.position < size) await file.truncate(scanned.position);
  // What a killed process wrote may be in memory only; after a clean close there is nothing to do.
  if (nextBase === undefined && !(clean && size === position)) await segment.sync();
  return { segment, cutBytes: size - scanned.position, scannedBytes: scanned.position - position };
}

function pathOf(folder: LogFolder, baseOffset: Offset): string {
  return `${folder.path}/${fileName(baseOffset, 'log')}`;
}

/** CORRUPT_LOG for a folder that has segments and no checkpoint that could be believed. */
export function missingCheckpoint(folder: LogFolder): Error {
  return corruptLog(`${folder.path}/${checkpointName}`, 0, 'missing or damaged: what was durable is not known');
}
