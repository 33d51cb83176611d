/**
 * Drives everything that happens to a log besides appending and reading: what follows a write, a full disk or a failure,
 * checkpoints, truncation, deletion, closing. The steps on disk are in maintain.ts; here is when they run, one at a time.
 *
 * Never waits for the writer in a way that the writer could wait for: changes wait for the writer, the writer waits for none.
 */
import { DomainError, isDomainError, type Offset, toOffset } from '@fleetmq/shared';
import { Compaction } from './compaction.ts';
import { Serial } from './gate.ts';
import { cutAt, deleteFront, findCut, recordDurableEnd, reset, saveProducersBefore } from './maintain.ts';
import type { CompactionReport, CompactionRequest, RetentionReport } from './partition-log.ts';
import { decodeProducers, type ProducerMemory } from './producer-snapshot.ts';
import { countExpired, type SegmentAge } from './retention.ts';
import type { Segment } from './segment.ts';
import type { LogState } from './state.ts';
import { deadLog, Writer } from './writer.ts';

/** A producer snapshot is written once the log has grown by so many times its size. */
const snapshotCostRatio = 16;

export class Upkeep {
  readonly writer: Writer;
  readonly #state: LogState;
  readonly #changes = new Serial();
  #bytesSinceCheckpoint: number;
  #bytesSinceSnapshot: number;
  #compacting: Promise<CompactionReport> | undefined;

  /** `unrecordedBytes`: what a crash right after opening would have to scan again. */
  constructor(state: LogState, unrecordedBytes: number) {
    this.#state = state;
    this.#bytesSinceCheckpoint = unrecordedBytes;
    this.#bytesSinceSnapshot = unrecordedBytes;
    const { books } = state.parts;
    this.writer = new Writer(state.parts.segments, state.pending, state.config, {
      beforeWrite: async () => {
        if (books.recorded.clean) await books.record({});
      },
      durable: (end, bytes) => this.#onDurable(end, bytes),
      sealed: (segment) => {
        this.#inBackground(async () => {
          // It may have been deleted meanwhile; an index without its segment could pass for that of another one.
          if (!segment.isRemoved) await state.parts.segments.saveIndex(segment);
        });
      },
      rollBack: (error) => this.#onRollBack(error),
      failed: (error) => {
        this.#onFailed(error);
        if (state.config.flushPolicy === 'fsync') this.#recordFailure();
      },
    });
  }

  /** See `PartitionLog.truncateTo`. */
  truncateTo(offset: Offset): Promise<void> {
    return this.#changeWithoutAppends(async () => {
      const state = this.#state;
      if (offset < state.start) state.checkInRange(offset);
      if (offset >= state.end) return;
      const cut = await findCut(state.parts.segments, offset);
      // A frame that begins below the log start and reaches above `offset` goes whole, so nothing stays but the producers.
      if (cut.offset < state.start) return this.#reset(state.start, await this.#producersAt(cut.offset));
      await this.#orFail(() => cutAt(state.parts, cut));
      state.setEnd(cut.offset);
    });
  }

  /** See `PartitionLog.resetTo`. */
  resetTo(offset: Offset, producers?: Uint8Array): Promise<void> {
    return this.#changeWithoutAppends(() => {
      const memory = this.#state.parts.producers.emptyCopy();
      const { checksum } = this.#state.parts.segments.folder;
      if (producers !== undefined && !decodeProducers(producers, undefined, memory, checksum)) {
        throw new DomainError('INVALID_REQUEST', `${producers.length} bytes are no state of producers`);
      }
      return this.#reset(offset, memory.copyBelow(offset));
    });
  }

  /** See `PartitionLog.advanceStartOffset`. */
  advanceStartOffset(offset: Offset): Promise<void> {
    return this.#change(async () => {
      const state = this.#state;
      if (offset > state.end) state.checkInRange(offset);
      if (offset <= state.start) return;
      await this.#untilDurable(offset);
      await this.#deleteFront(offset);
    });
  }

  /** See `PartitionLog.applyRetention`. */
  applyRetention(at: { readonly nowMs: number; readonly highWatermark: Offset }): Promise<RetentionReport> {
    return this.#change(async () => {
      const state = this.#state;
      const list = [...state.parts.segments.list];
      const ages = list.map((segment) => this.#ageOf(segment));
      const count = await countExpired(ages, { ...at, startOffset: state.start }, state.config);
      const end = ages[count - 1]?.endOffset;
      if (end === undefined) return { deletedSegments: 0, deletedBytes: 0 };
      // The active segment only goes once it is sealed; what came to it meanwhile keeps it.
      if (count === list.length) await this.writer.roll();
      return this.#deleteFront(toOffset(Math.max(end, state.start)));
    });
  }

  /** See `PartitionLog.compact`. */
  compact(request: CompactionRequest): Promise<CompactionReport> {
    this.#compacting ??= this.#compact(request).finally(() => {
      this.#compacting = undefined;
    });
    return this.#compacting;
  }

  /** Makes everything durable, records a clean end, closes the files. */
  async close(): Promise<void> {
    const state = this.#state;
    // A compaction ends at its next chunk, now that the log is closed.
    await this.#compacting?.catch(() => undefined);
    await this.writer.idle();
    await this.#changes.run(async () => {
      if (state.failure === undefined) {
        try {
          await this.#checkpoint(true);
        } catch (error) {
          // Without a clean end the next open scans more; it loses nothing.
          this.#failUnlessFull(error);
        }
      }
      await state.parts.gate.change(() => state.parts.segments.close());
    });
  }

  async #compact(request: CompactionRequest): Promise<CompactionReport> {
    const state = this.#state;
    const { books, segments } = state.parts;
    state.checkAlive();
    const compaction = new Compaction(
      {
        state,
        change: (steps) => this.#change(() => this.#orFail(steps)),
        checkpoint: () =>
          this.#change(async () => {
            if (books.recorded.recovery.segment !== segments.active?.baseOffset) await this.#checkpoint(false);
          }),
      },
      request,
    );
    return compaction.run();
  }

  #onDurable(end: Offset, bytes: number): void {
    const state = this.#state;
    state.durable = end;
    this.#bytesSinceCheckpoint += bytes;
    this.#bytesSinceSnapshot += bytes;
    state.waiters.release(end);
    state.options.onDurable?.(end);
    if (this.#bytesSinceCheckpoint < state.config.checkpointBytes) return;
    this.#bytesSinceCheckpoint = 0;
    this.#inBackground(() => this.#checkpoint(false));
  }

  #onRollBack(error: DomainError): void {
    const state = this.#state;
    if (state.servedEnd > state.durable) state.spoiledEpoch = state.parts.epochs.last;
    state.servedEnd = Math.min(state.servedEnd, state.durable);
    state.undone = new DomainError('DISK_FULL', error.message, { cause: error });
    state.dropQueue();
    state.waiters.fail(state.undone);
    // Appends are refused until the producers stand for the log again.
    this.#inBackground(() => this.#restoreProducers());
    state.options.onRollback?.(state.durable, state.undone);
  }

  #onFailed(error: DomainError): void {
    const state = this.#state;
    if (state.failure !== undefined) return;
    state.failure = error;
    this.writer.stop();
    state.dropQueue();
    state.waiters.fail(error);
    state.options.onFailure?.(error);
  }

  /** Notes for the next life that nothing above the durable end is to be believed. */
  #recordFailure(): void {
    const { books } = this.#state.parts;
    const recovery = books.durablePoint();
    const recorded = this.#changes.run(() => books.record({ recovery, failed: true }));
    // The disk has just failed: this may fail as well, and then the next open judges by the bytes.
    recorded.catch(() => undefined);
  }

  async #reset(offset: Offset, seed: ProducerMemory): Promise<void> {
    await this.#orFail(() => reset(this.#state.parts, offset, seed.isEmpty ? undefined : seed));
    this.#state.start = offset;
    this.#state.setEnd(offset);
  }

  async #deleteFront(offset: Offset): Promise<RetentionReport> {
    const state = this.#state;
    await this.#restoreProducers();
    const { segments } = state.parts;
    const kept = segments.list.find((segment) => segment.endOffset > offset || segment === segments.active);
    // What the deleted segments said about producers lives on in a snapshot.
    if (kept !== undefined && kept !== segments.list[0]) await saveProducersBefore(state.parts, kept);
    const deleted = await this.#orFail(() => {
      return deleteFront(state.parts, offset, () => {
        state.start = offset;
      });
    });
    return { deletedSegments: deleted.segments, deletedBytes: deleted.bytes };
  }

  async #checkpoint(clean: boolean): Promise<void> {
    const state = this.#state;
    await this.#restoreProducers();
    const interval = Math.max(state.config.checkpointBytes, snapshotCostRatio * state.parts.books.snapshotBytes);
    if (clean || this.#bytesSinceSnapshot >= interval) await this.#saveProducers();
    await recordDurableEnd(state.parts, clean);
  }

  async #saveProducers(): Promise<void> {
    const { end, parts } = this.#state;
    this.#bytesSinceSnapshot = 0;
    const bytes = parts.books.encodeProducers(parts.producers, end);
    await this.#untilDurable(end);
    await parts.segments.active?.sync();
    await parts.books.saveProducers(end, bytes);
  }

  async #producersAt(offset: Offset): Promise<ProducerMemory> {
    const { producers, books } = this.#state.parts;
    const memory = producers.emptyCopy();
    await books.rebuildProducers(memory, offset);
    return memory;
  }

  /** After appends were undone: computes the producers from the log, and lets appends in again. */
  async #restoreProducers(): Promise<void> {
    const { parts, undone, durable } = this.#state;
    if (undone === undefined) return;
    await this.#orFail(() => parts.books.rebuildProducers(parts.producers, durable));
    this.#state.undone = undefined;
  }

  async #untilDurable(end: Offset): Promise<void> {
    const state = this.#state;
    if (state.failure !== undefined) throw state.failure;
    if (end > state.durable) await state.waiters.add(end, Number.POSITIVE_INFINITY);
  }

  #change<Result>(change: () => Promise<Result>): Promise<Result> {
    return this.#changes.run(async () => {
      this.#state.checkAlive();
      return change();
    });
  }

  /** With everything that was appended on disk, and nothing appended meanwhile. */
  #changeWithoutAppends(change: () => Promise<void>): Promise<void> {
    return this.#change(async () => {
      const state = this.#state;
      state.isTruncating = true;
      try {
        await this.writer.idle();
        state.checkAlive();
        await change();
      } finally {
        state.isTruncating = false;
      }
    });
  }

  /** A change that no caller waits for. */
  #inBackground(job: () => Promise<void>): void {
    const done = this.#changes.run(async () => {
      if (this.#state.failure === undefined) await job();
    });
    // A damaged frame that was met on the way is reported to whoever reads it; it harms no write.
    done.catch((error) =>
      isDomainError(error) && error.code === 'CORRUPT_LOG' ? undefined : this.#failUnlessFull(error),
    );
  }

  /** Runs steps that, once begun, must end: only a full disk, met before the first of them, leaves the log alive. */
  async #orFail<Result>(steps: () => Promise<Result>): Promise<Result> {
    try {
      return await steps();
    } catch (error) {
      this.#failUnlessFull(error);
      throw error;
    }
  }

  #failUnlessFull(error: unknown): void {
    if (!isDomainError(error)) throw error;
    if (error.code === 'DISK_FULL') return;
    this.#onFailed(deadLog(error));
  }

  #ageOf(segment: Segment): SegmentAge {
    return {
      size: segment.size,
      endOffset: segment.endOffset,
      times: () =>
        this.#state.parts.segments.with(segment, async (_, { maxTimeMs, lastAppendMs }) => ({
          maxTimeMs,
          lastAppendMs,
        })),
    };
  }
}
