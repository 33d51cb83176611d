/**
 * Opens the log of a partition, or makes it: checkpoint, segments, epochs, producers, in this order, each trusted only after
 * its check (format.md). When it resolves, everything that the log says is durable; when it rejects with CORRUPT_LOG, nothing
 * was cut, and the replica has to be filled from another one.
 */
import { type LeaderEpoch, type Offset, toOffset } from '@fleetmq/shared';
import { Bookkeeper } from './bookkeeper.ts';
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from './checkpoint.ts';
import { type CompactionState, cutState, decodeCompaction, nothingCompacted } from './compaction-state.ts';
import { defaultLogConfig, type LogConfig, logConfig } from './config.ts';
import { decodeEpochs, EpochCache } from './epochs.ts';
import {
  checkpointName,
  compactionName,
  corruptLog,
  epochsName,
  fileName,
  offsetsOfKind,
  seedName,
  swapName,
} from './files.ts';
import { Gate } from './gate.ts';
import { Log } from './log.ts';
import { OpenSegments } from './open-segments.ts';
import type { LogOptions, PartitionLog } from './partition-log.ts';
import { decodeProducers, ProducerMemory } from './producer-snapshot.ts';
import { missingCheckpoint, type RecoveredSegments, recoverSegments } from './recover.ts';
import type { LogFolder } from './segment.ts';
import { Segments } from './segments.ts';
import { finishSwap } from './swap.ts';

/** When it has no others to share with. */
const openSegmentsOfOneLog = 8;

/**
 * Errors: INVALID_CONFIG; CORRUPT_LOG (file and byte in the message); DISK_FULL, when a new log cannot be made;
 * STORAGE_FAILED.
 */
export async function openLog(options: LogOptions): Promise<PartitionLog> {
  const config = logConfig(options.config ?? {});
  const folder: LogFolder = {
    disk: options.disk,
    path: options.folder,
    checksum: options.checksum,
    durableWrites: config.flushPolicy === 'fsync',
  };
  const stored = await readOrMakeCheckpoint(folder, options.startOffset ?? toOffset(0));
  await finishSwap(folder, await folder.disk.list(folder.path));
  const names = await folder.disk.list(folder.path);
  const recovered = await recoverSegments(folder, stored, names);
  // What was not believed is gone, durably. What is written from now on is to be believed by the next life.
  const checkpoint = stored.failed ? await writeCheckpoint(folder, { ...stored, failed: false }) : stored;
  const segments = new Segments(
    folder,
    config,
    recovered.segments,
    options.openSegments ?? new OpenSegments(openSegmentsOfOneLog),
  );
  const epochs = await loadEpochs(segments, checkpoint, recovered);
  const producers = new ProducerMemory(config);
  const snapshots = offsetsOfKind(names, 'producers');
  const compaction = await loadCompaction(folder, recovered.endOffset);
  const books = new Bookkeeper({ folder, segments, epochs }, { checkpoint, compaction }, snapshots);
  // A crash came before the reset that it was for.
  if (names.includes(seedName)) await books.saveSeed(undefined);
  await books.dropSnapshotsAbove(recovered.endOffset);
  await books.rebuildProducers(producers, recovered.endOffset);
  await prepareActive(segments, config);
  return new Log(options, {
    parts: { segments, epochs, producers, books, gate: new Gate() },
    config,
    startOffset: checkpoint.startOffset,
    endOffset: recovered.endOffset,
    unrecordedBytes: books.hasSnapshots ? recovered.scannedBytes : segments.sizeBytes,
    recovery: {
      wasClean: checkpoint.clean && recovered.scannedBytes === 0 && recovered.cutBytes === 0,
      cutBytes: recovered.cutBytes,
      recordedEnd: checkpoint.recovery.offset,
    },
  });
}

async function readOrMakeCheckpoint(folder: LogFolder, startOffset: Offset): Promise<Checkpoint> {
  const { disk, path, checksum } = folder;
  const names = await disk.list(path);
  const stored = decodeCheckpoint(await disk.readFile(`${path}/${checkpointName}`), checksum);
  if (stored !== undefined) return stored.discard ? finishReset(folder, stored, names) : stored;
  if (names.includes(checkpointName) || offsetsOfKind(names, 'log').length > 0) throw missingCheckpoint(folder);
  await disk.makeFolder(path);
  const recovery = { segment: startOffset, position: 0, offset: startOffset };
  return writeCheckpoint(folder, { startOffset, recovery, clean: false, discard: false, failed: false });
}

/** A crash came inside `resetTo`: what it had not removed goes now. */
async function finishReset(folder: LogFolder, checkpoint: Checkpoint, names: readonly string[]): Promise<Checkpoint> {
  const { disk, path } = folder;
  const seed = await readSeed(folder, checkpoint.startOffset);
  for (const kind of ['index', 'producers', 'log', 'cleaned'] as const) {
    for (const offset of offsetsOfKind(names, kind)) await disk.remove(`${path}/${fileName(offset, kind)}`);
  }
  for (const name of [epochsName, compactionName, swapName]) await disk.remove(`${path}/${name}`);
  await disk.syncFolder(path);
  if (seed !== undefined) await disk.writeFileAtomic(`${path}/${fileName(checkpoint.startOffset, 'producers')}`, seed);
  return writeCheckpoint(folder, { ...checkpoint, discard: false });
}

/** What the reset to `offset` begins with; undefined for nothing. CORRUPT_LOG when that cannot be read. */
async function readSeed({ disk, path, checksum }: LogFolder, offset: Offset): Promise<Uint8Array | undefined> {
  const bytes = await disk.readFile(`${path}/${seedName}`);
  if (bytes === undefined) return undefined;
  if (decodeProducers(bytes, offset, new ProducerMemory(defaultLogConfig), checksum)) return bytes;
  throw corruptLog(`${path}/${seedName}`, 0, 'what the reset begins with is damaged');
}

async function writeCheckpoint(folder: LogFolder, checkpoint: Checkpoint): Promise<Checkpoint> {
  const bytes = encodeCheckpoint(checkpoint, folder.checksum);
  await folder.disk.writeFileAtomic(`${folder.path}/${checkpointName}`, bytes);
  return checkpoint;
}

/** The stored entries below the recovery point and what the frames above it say; all from the frames where none are stored. */
async function loadEpochs(
  segments: Segments,
  checkpoint: Checkpoint,
  recovered: RecoveredSegments,
): Promise<EpochCache> {
  const { disk, path, checksum } = segments.folder;
  const stored = decodeEpochs(await disk.readFile(`${path}/${epochsName}`), checksum);
  const below = stored?.filter((entry) => entry.startOffset < checkpoint.recovery.offset) ?? [];
  const first = segments.list[0]?.baseOffset ?? recovered.endOffset;
  const isMissing = below.length === 0 && checkpoint.recovery.offset > first;
  const epochs = new EpochCache(below);
  epochs.dirty = below.length !== stored?.length;
  await segments.scan(isMissing ? first : checkpoint.recovery.offset, recovered.endOffset, ({ trailer }) => {
    epochs.note(trailer.leaderEpoch as LeaderEpoch, toOffset(trailer.baseOffset));
  });
  epochs.trimTo(checkpoint.startOffset);
  return epochs;
}

async function loadCompaction({ disk, path, checksum }: LogFolder, endOffset: Offset): Promise<CompactionState> {
  const stored = decodeCompaction(await disk.readFile(`${path}/${compactionName}`), checksum);
  return cutState(stored ?? nothingCompacted, endOffset);
}

/** The active segment's index grows with it, so it is in memory from the start. */
async function prepareActive(segments: Segments, config: LogConfig): Promise<void> {
  await segments.active?.loadIndex(config.indexIntervalBytes);
}
