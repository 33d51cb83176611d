/**
 * Reading for consumers. One pass reads what there is, partition by partition within the bytes that the answer may have; a
 * fetch that wants more parks until a watermark moves, its time is over, or the server drains. Nothing at or above the high
 * watermark is read (P8).
 *
 * Bytes of answers are held in one memory for the whole broker until they have left, so that readers that never read
 * cannot take it all; what does not fit is refused before anything is read.
 */
import type { ReadAnswer } from '@fleetmq/log';
import type { ListenerName } from '@fleetmq/metadata';
import {
  type AnswerMemory,
  type Clock,
  DomainError,
  type HeldAnswer,
  isDomainError,
  type Lease,
  type Offset,
  type Timers,
  type TopicPartitionName,
} from '@fleetmq/shared';
import { assertReadable, assertReaderEpoch, assertServable, clampOffset } from '../domain/fetch.ts';
import type { Position } from '../wire/fetch.ts';
import { type FetchPartitionAsk, type PartitionAnswer, partitionOverhead, releaseAnswers } from '../wire/fetch.ts';
import type { BatchInflater } from './inflater.ts';
import type { Partitions } from './partitions.ts';
import type { Replica } from './replica.ts';
import { Semaphore } from './semaphore.ts';
import { endOfFrames, needsInflation } from './stored-codecs.ts';

export interface FetcherOptions {
  readonly partitions: Partitions;
  readonly memory: AnswerMemory;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly inflater: Pick<BatchInflater, 'inflate'>;
  /** Readers of one partition that may be parked. Default 10,000. */
  readonly readersPerPartitionMax: number;
  /** Passes that may read at the same time: the memory can be passed by so many answers, and by those that are inflated. Default 16. */
  readonly passesMax: number;
  /** Throws NOT_AVAILABLE before this broker has caught up with the metadata. */
  readonly assertServing: () => void;
  readonly onInflated: (bytes: number) => void;
}

/** What is the same for all partitions of one read. */
export interface ReadContext {
  readonly listener: ListenerName;
  readonly acceptedCodecs: ReadonlySet<number>;
  /** The reader's connection: who does not take its answers leaves room to the others (see AnswerMemory). */
  readonly holder: object;
}

/** What was read. Its bytes are held until the reader of this releases them. */
export interface ReadPass {
  readonly answers: PartitionAnswer[];
  readonly bytes: number;
  readonly held: HeldAnswer;
}

/** What a pass has found too long for the memory there was: nothing is read again until that much is free. */
export interface Refusal {
  bytes: number;
}

const nothing: Uint8Array = new Uint8Array(0);
/** What one answer may always have, while there is anything free. */
const answerBytesMin = 64 * 1024;
/** A reader that waits for many bytes is not woken more often than this. */
const gatherMs = 5;

export class Fetcher {
  readonly #options: FetcherOptions;
  readonly #passes: Semaphore;

  constructor(options: FetcherOptions) {
    this.#options = options;
    this.#passes = new Semaphore(options.passesMax);
  }

  /**
   * One pass: an answer per ask, in order; together at most `maxBytes`, but for the first batch. LIMIT_EXCEEDED while the
   * answers of others fill the memory, or too many others wait to be inflated. Who tries again hands the same `refusal` in.
   */
  async readAll(
    asks: readonly FetchPartitionAsk[],
    maxBytes: number,
    context: ReadContext,
    refusal: Refusal = { bytes: 0 },
  ): Promise<ReadPass> {
    const { memory } = this.#options;
    return this.#passes.run(async () => {
      const room = memory.roomFor(context.holder);
      // The fuller the memory, the smaller the answers: readers that do not read end up holding little.
      const left = Math.min(maxBytes, Math.max(answerBytesMin, Math.floor(room / 8)));
      // Held before it is read: sixteen passes at once would find the same room.
      const held = room === 0 ? undefined : memory.hold(Math.max(Math.min(left, room), refusal.bytes), context.holder);
      if (held === undefined) throw this.#noRoom();
      try {
        return await this.#pass(asks, left, context, held, refusal);
      } catch (error) {
        held.release();
        throw error;
      }
    }, context.holder);
  }

  #noRoom(): DomainError {
    const text = `answers of ${this.#options.memory.bytes} bytes wait to be read`;
    return new DomainError('LIMIT_EXCEEDED', text, { retryAfterMs: 100 });
  }

  async #pass(
    asks: readonly FetchPartitionAsk[],
    bytesMax: number,
    context: ReadContext,
    held: HeldAnswer,
    refusal: Refusal,
  ): Promise<ReadPass> {
    const answers: PartitionAnswer[] = [];
    let left = bytesMax;
    let bytes = 0;
    for (const ask of asks) {
      // The first batch of all comes whole, however long it is: otherwise its reader would never get past it.
      const mustFit = bytes > 0;
      const wanted = ask.maxBytes === 0 ? left : Math.min(left, ask.maxBytes);
      const answer = await this.read(ask, mustFit ? wanted : Math.max(1, wanted), context, mustFit);
      left = Math.max(0, left - answer.batches.length - partitionOverhead(ask.target));
      bytes += answer.batches.length;
      answers.push(answer);
    }
    if (!held.resize(bytes)) {
      refusal.bytes = bytes;
      throw this.#noRoom();
    }
    return { answers, bytes, held };
  }

  /**
   * What one partition has. Errors are part of the answer. `maxBytes` 0: only its watermarks. A first batch that is longer
   * than `maxBytes` comes whole, or with `mustFit` is left for the next answer.
   */
  async read(
    ask: FetchPartitionAsk,
    maxBytes: number,
    context: ReadContext,
    mustFit: boolean,
  ): Promise<PartitionAnswer> {
    try {
      this.#options.assertServing();
      const replica = this.#options.partitions.leading(ask.target.topic, ask.target.partition, context.listener);
      return await this.#readReplica(replica, ask, maxBytes, context, mustFit);
    } catch (error) {
      // Too much to do is no property of a partition: the whole pass is to be tried again.
      if (!isDomainError(error) || error.code === 'LIMIT_EXCEEDED') throw error;
      return failedAnswer(ask, error);
    }
  }

  /** Where a position is now. OFFSET_OUT_OF_RANGE never: it is moved into the log's range. */
  async locate(target: TopicPartitionName, position: Position, listener: ListenerName): Promise<Located> {
    this.#options.assertServing();
    const replica = this.#options.partitions.leading(target.topic, target.partition, listener);
    const { leader } = replica.state;
    if (leader === undefined) throw new DomainError('NOT_AVAILABLE', `${replica.name} is changing its leader`);
    assertServable(leader);
    const log = replica.openLog();
    const { highWatermark, leaderEpoch } = leader;
    const at = (offset: number, timestampMs?: number): Located => ({
      offset: clampOffset(offset, log.startOffset, highWatermark),
      timestampMs,
      leaderEpoch,
    });
    switch (position.kind) {
      case 'earliest':
        return at(log.startOffset);
      case 'latest':
        return at(highWatermark);
      case 'offset':
        return at(position.offset);
      case 'time': {
        const found = await log.offsetForTime(position.timestampMs, highWatermark as Offset);
        return found === undefined ? at(highWatermark) : at(found.offset, found.timestampMs);
      }
    }
  }

  /** Resolves when something that these readers may want to see has changed, at `untilMs`, or when a signal fires. */
  waitForNews(targets: readonly FetchPartitionAsk[], untilMs: number, signals: readonly AbortSignal[]): Promise<void> {
    const { clock, timers, partitions } = this.#options;
    return new Promise((resolve, reject) => {
      const stops: (() => void)[] = [];
      let isOver = false;
      const wake = (): void => {
        if (isOver) return;
        isOver = true;
        for (const stop of stops) stop();
        resolve();
      };
      try {
        for (const { target } of targets) {
          const replica = partitions.byName(target.topic, target.partition);
          if (replica !== undefined) stops.push(this.#park(replica, wake));
        }
      } catch (error) {
        for (const stop of stops) stop();
        reject(error);
        return;
      }
      const timer = timers.after(Math.max(0, untilMs - clock.monotonicMs()), wake);
      stops.push(() => timer.cancel());
      for (const signal of signals) {
        if (signal.aborted) return wake();
        signal.addEventListener('abort', wake, { once: true });
        stops.push(() => signal.removeEventListener('abort', wake));
      }
    });
  }

  /** Passes until there is enough, or the time is over. */
  async fetch(
    asks: readonly FetchPartitionAsk[],
    want: { readonly maxBytes: number; readonly minBytes: number; readonly maxWaitMs: number },
    context: ReadContext,
    signals: readonly AbortSignal[],
  ): Promise<ReadPass> {
    const { clock } = this.#options;
    const deadlineMs = clock.monotonicMs() + want.maxWaitMs;
    for (;;) {
      const pass = await this.readAll(asks, want.maxBytes, context);
      const isLate = clock.monotonicMs() >= deadlineMs || signals.some(({ aborted }) => aborted);
      if (isLate || isEnough(pass, want.minBytes)) return pass;
      pass.held.release();
      releaseAnswers(pass.answers);
      // What moved between the read and now must not be missed.
      if (!this.hasNews(pass.answers)) await this.waitForNews(asks, deadlineMs, signals);
      if (want.minBytes > 1) await this.#gather(Math.min(deadlineMs, clock.monotonicMs() + gatherMs));
    }
  }

  /** Whether something has changed since these answers were read. */
  hasNews(answers: readonly PartitionAnswer[]): boolean {
    return answers.some(({ target, error, highWatermark }) => {
      if (error !== undefined) return false;
      const leader = this.#options.partitions.byName(target.topic, target.partition)?.state.leader;
      return leader === undefined || leader.highWatermark > highWatermark;
    });
  }

  #gather(untilMs: number): Promise<void> {
    const { clock, timers } = this.#options;
    return new Promise((resolve) => {
      timers.after(Math.max(0, untilMs - clock.monotonicMs()), resolve);
    });
  }

  #park(replica: Replica, wake: () => void): () => void {
    if (replica.readerCount >= this.#options.readersPerPartitionMax) {
      throw new DomainError('LIMIT_EXCEEDED', `too many readers wait for ${replica.name}`, { retryAfterMs: 1_000 });
    }
    return replica.onReadable(wake);
  }

  async #readReplica(
    replica: Replica,
    ask: FetchPartitionAsk,
    maxBytes: number,
    context: ReadContext,
    mustFit: boolean,
  ): Promise<PartitionAnswer> {
    const { leader } = replica.state;
    if (leader === undefined) throw new DomainError('NOT_AVAILABLE', `${replica.name} is changing its leader`);
    assertReaderEpoch(ask.leaderEpoch, leader.leaderEpoch);
    assertServable(leader);
    const log = replica.openLog();
    const { highWatermark, leaderEpoch } = leader;
    assertReadable(ask.fetchOffset, log.startOffset, highWatermark);
    let batches = nothing;
    let nextOffset = ask.fetchOffset;
    let lease: Lease | undefined;
    if (maxBytes > 0 && ask.fetchOffset < highWatermark) {
      const read = await this.#readLog(replica, ask.fetchOffset, highWatermark, maxBytes);
      if (mustFit && read.bytes.length > maxBytes) read.lease?.release();
      else ({ bytes: batches, nextOffset, lease } = await this.#inflate(read, maxBytes, context));
    }
    const { target } = ask;
    const { startOffset: logStartOffset } = log;
    return { target, error: undefined, highWatermark, logStartOffset, leaderEpoch, nextOffset, batches, lease };
  }

  async #readLog(replica: Replica, from: number, upTo: number, maxBytes: number): Promise<ReadAnswer> {
    try {
      return await replica.openLog().read({ from: from as Offset, upTo: upTo as Offset, maxBytes });
    } catch (error) {
      if (isDomainError(error)) replica.onReadFailure(error);
      throw error;
    }
  }

  /** Stored batches as they lie, except those in a codec that the reader does not take. */
  async #inflate(
    read: ReadAnswer,
    maxBytes: number,
    { acceptedCodecs, holder }: ReadContext,
  ): Promise<Omit<ReadAnswer, 'baseOffset'>> {
    if (!needsInflation(read.bytes, acceptedCodecs)) return read;
    const { inflater } = this.#options;
    const answerBytesMax = Math.max(maxBytes, 1);
    const { bytes, frames } = await this.#passes.lend(
      () => inflater.inflate(read.bytes, acceptedCodecs, answerBytesMax),
      holder,
    );
    this.#options.onInflated(bytes.length);
    const nextOffset = endOfFrames(read.bytes, frames);
    read.lease?.release();
    return { bytes, nextOffset };
  }
}

export interface Located {
  readonly offset: number;
  /** Of the record that was found by time. */
  readonly timestampMs: number | undefined;
  readonly leaderEpoch: number;
}

export function failedAnswer(ask: FetchPartitionAsk, error: DomainError): PartitionAnswer {
  return {
    target: ask.target,
    error,
    highWatermark: 0,
    logStartOffset: 0,
    leaderEpoch: 0,
    nextOffset: ask.fetchOffset,
    batches: nothing,
  };
}

function isEnough(pass: ReadPass, minBytes: number): boolean {
  return pass.bytes >= minBytes || pass.answers.some(({ error }) => error !== undefined);
}
