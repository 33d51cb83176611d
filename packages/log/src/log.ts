/**
 * The log of one partition, as others see it: appends and reads. Appends are synchronous: they check, give offsets, and
 * queue; the writer makes them durable, many with one sync. Reads take place beside it. What else happens to a log is in
 * upkeep.ts, its invariants are in state.ts.
 *
 * Neither path makes an object per record, and record bytes are not copied between an append and its write.
 */
import { FrameCursor, frameSize, sealFrame, type ValidatedBatch } from '@fleetmq/record';
import { type BufferPool, DomainError, type LeaderEpoch, type Lease, type Offset, toOffset } from '@fleetmq/shared';
import { type LogConfig, logConfig } from './config.ts';
import type { EpochEnd, EpochEntry } from './epochs.ts';
import { takeFrames } from './follower.ts';
import type {
  AppendOutcome,
  CompactionReport,
  CompactionRequest,
  LeaderStamp,
  LogOptions,
  PartitionLog,
  ProducerExport,
  RecoveryReport,
  RetentionReport,
  TimeAnswer,
} from './partition-log.ts';
import type { EarlierAppend } from './producer-snapshot.ts';
import type { ProducerState } from './producers.ts';
import { emptyAnswer, type ReadAnswer, type ReadRequest, readSegment } from './reader.ts';
import { frameTime } from './scan.ts';
import { LogState, type OpenState } from './state.ts';
import { findByTime, findInBatch, type TimeQuery } from './time-lookup.ts';
import { Upkeep } from './upkeep.ts';

export class Log implements PartitionLog {
  readonly recovery: RecoveryReport;
  readonly #state: LogState;
  readonly #upkeep: Upkeep;
  readonly #buffers: BufferPool | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: LogOptions, opened: OpenState) {
    this.recovery = opened.recovery;
    this.#buffers = options.buffers;
    this.#state = new LogState(options, opened);
    this.#upkeep = new Upkeep(this.#state, opened.unrecordedBytes);
  }

  get startOffset(): Offset {
    return this.#state.start;
  }

  get endOffset(): Offset {
    return this.#state.end;
  }

  get durableEndOffset(): Offset {
    return this.#state.durable;
  }

  get lastEpoch(): LeaderEpoch {
    return this.#state.parts.epochs.last;
  }

  get epochs(): readonly EpochEntry[] {
    return this.#state.parts.epochs.entries;
  }

  get sizeBytes(): number {
    return this.#state.parts.segments.sizeBytes;
  }

  get pendingBytes(): number {
    return this.#state.pending.bytes;
  }

  get failure(): DomainError | undefined {
    return this.#state.failure;
  }

  get config(): LogConfig {
    return this.#state.config;
  }

  appendAsLeader(batch: ValidatedBatch, at: LeaderStamp, lease?: Lease): AppendOutcome {
    const { parts, config, end: baseOffset } = this.#state;
    this.#state.checkWritable();
    this.#state.checkLeaderEpoch(at.leaderEpoch);
    const earlier = parts.producers.check(batch, at.appendTimeMs);
    if (earlier !== undefined) return repeated(earlier);
    const byteLength = frameSize(batch.bytes.length);
    if (byteLength > config.maxFrameBytes) {
      throw new DomainError('RECORD_TOO_LARGE', `a frame of ${byteLength} bytes is over ${config.maxFrameBytes}`);
    }
    this.#state.checkRoom(byteLength);
    const { leaderEpoch, appendTimeMs } = at;
    const endOffset = toOffset(baseOffset + batch.recordCount);
    const sealed = sealFrame(batch, { baseOffset, leaderEpoch, appendTimeMs }, parts.segments.folder.checksum);
    const timeMs = frameTime(batch.maxTimestampMs, appendTimeMs);
    const pieces = [sealed.head, sealed.body, sealed.trailer];
    lease?.retain();
    this.#state.queue({ baseOffset, endOffset, byteLength, leaderEpoch, appendTimeMs, timeMs, pieces, lease });
    parts.producers.note(batch, baseOffset, appendTimeMs);
    this.#upkeep.writer.kick();
    return { kind: 'appended', baseOffset, endOffset, appendTimeMs };
  }

  appendAsFollower(frames: Uint8Array, lease?: Lease): Offset {
    const state = this.#state;
    state.checkWritable();
    state.checkRoom(frames.length);
    const { producers, segments } = state.parts;
    const end = { offset: state.end, leaderEpoch: this.lastEpoch, maxFrameBytes: state.config.maxFrameBytes };
    const received = takeFrames(frames, end, segments.folder.checksum, lease);
    for (const { frame, batch } of received) {
      lease?.retain();
      state.queue(frame);
      if (batch !== undefined) producers.note(batch, frame.baseOffset, frame.appendTimeMs);
    }
    if (received.length > 0) this.#upkeep.writer.kick();
    return state.end;
  }

  whenDurable(end: Offset, signal?: AbortSignal): Promise<void> {
    const { durable, failure, waiters, config } = this.#state;
    if (end <= durable) return Promise.resolve();
    if (failure !== undefined) return Promise.reject(failure);
    if (end > this.#state.end) {
      const message = `offset ${end} is above the end of the log, ${this.#state.end}`;
      return Promise.reject(new DomainError('OFFSET_OUT_OF_RANGE', message));
    }
    return waiters.add(end, config.maxWaiters, signal);
  }

  flush(): Promise<void> {
    return this.whenDurable(this.#state.end);
  }

  read(request: ReadRequest): Promise<ReadAnswer> {
    const { gate, segments } = this.#state.parts;
    return gate.read(async () => {
      const { end, durable, config, pending } = this.#state;
      const { from } = request;
      this.#state.checkOpen();
      this.#state.checkInRange(from);
      const upTo = toOffset(Math.min(request.upTo, end));
      if (from >= upTo) return emptyAnswer(from);
      const bounded = { from, upTo, maxBytes: Math.min(request.maxBytes, config.maxReadBytes) };
      const segment = from < durable ? segments.find(from) : undefined;
      if (segment !== undefined) {
        const { indexIntervalBytes: intervalBytes } = config;
        return readSegment(segments, segment, bounded, { intervalBytes, buffers: this.#buffers });
      }
      const answer = pending.read(bounded, this.#buffers) ?? emptyAnswer(from);
      this.#state.servedEnd = Math.max(this.#state.servedEnd, answer.nextOffset);
      return answer;
    });
  }

  endOffsetForEpoch(epoch: LeaderEpoch): EpochEnd {
    const { start, end, parts } = this.#state;
    return parts.epochs.endOf(epoch, { startOffset: start, endOffset: end });
  }

  offsetForTime(timestampMs: number, upTo: Offset): Promise<TimeAnswer | undefined> {
    const { gate, segments } = this.#state.parts;
    return gate.read(async () => {
      this.#state.checkOpen();
      const query = { timestampMs, from: this.#state.start, upTo };
      // The queue first: its frames move to the disk while the disk is searched.
      const queued = this.#findPendingByTime(query);
      return (await findByTime(segments, query)) ?? queued;
    });
  }

  producerState(producerId: bigint): ProducerState | undefined {
    return this.#state.parts.producers.table.get(producerId);
  }

  truncateTo(offset: Offset): Promise<void> {
    return this.#upkeep.truncateTo(offset);
  }

  exportProducers(): ProducerExport {
    const { start: offset, parts } = this.#state;
    return { offset, bytes: parts.books.encodeProducers(parts.producers.copyBelow(offset), offset) };
  }

  resetTo(offset: Offset, producers?: Uint8Array): Promise<void> {
    return this.#upkeep.resetTo(offset, producers);
  }

  advanceStartOffset(offset: Offset): Promise<void> {
    return this.#upkeep.advanceStartOffset(offset);
  }

  applyRetention(at: { readonly nowMs: number; readonly highWatermark: Offset }): Promise<RetentionReport> {
    return this.#upkeep.applyRetention(at);
  }

  compact(request: CompactionRequest): Promise<CompactionReport> {
    return this.#upkeep.compact(request);
  }

  configure(settings: Partial<LogConfig>): void {
    const config = logConfig({ ...this.#state.config, ...settings });
    this.#state.config = config;
    this.#state.parts.segments.configure(config);
    this.#state.parts.producers.configure(config);
    this.#upkeep.writer.configure(config);
  }

  close(): Promise<void> {
    this.#state.isClosed = true;
    this.#closing ??= this.#upkeep.close();
    return this.#closing;
  }

  #findPendingByTime(query: TimeQuery): TimeAnswer | undefined {
    const { pending } = this.#state;
    const frame = pending.firstOfTime(query.timestampMs, query.upTo);
    if (frame === undefined) return undefined;
    const answer = pending.read({ from: frame.baseOffset, upTo: frame.endOffset, maxBytes: frame.byteLength });
    const cursor = new FrameCursor(answer?.bytes ?? new Uint8Array(0));
    return cursor.next() === 'frame' ? findInBatch(cursor.bytes.subarray(cursor.batchStart), frame, query) : undefined;
  }
}

/** The first answer again. */
function repeated(earlier: EarlierAppend): AppendOutcome {
  const { baseOffset, recordCount, appendTimeMs } = earlier;
  const endOffset = toOffset(baseOffset + recordCount);
  return { kind: 'duplicate', baseOffset: toOffset(baseOffset), endOffset, appendTimeMs };
}
