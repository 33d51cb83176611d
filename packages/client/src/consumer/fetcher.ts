/**
 * Keeps one subscription open per server, each with the partitions that the server leads, and fills the buffer. When leaders
 * move, connections break, or the caller pauses and seeks, the sets of partitions are worked out anew and only the streams
 * whose set has changed are opened again, each partition at its own next offset: no record twice, none left out.
 *
 * Decides: which stream reads what, when to try again, what an error means. Never blocks on the caller but for room in the
 * buffer. A stream that shows no sign of life for three heartbeats is given up. One partition without any answer for
 * `unavailableTimeoutMs` ends the consumer with the last error.
 * Bounds: streams (one per server and 1,000 partitions), bytes (the buffer), delays between attempts.
 */
import { ConsumerService } from '@fleetmq/gen/client/consumer';
import { readBatchHeader } from '@fleetmq/record';
import { DomainError, type ErrorName, formatTopicPartition, type Timer, type Timers } from '@fleetmq/shared';
import type { Metadata } from '../metadata.ts';
import { findOffsets, unroutable } from '../offsets.ts';
import type { ClientPorts } from '../ports.ts';
import type { Channel } from '../rpc/channel.ts';
import { checkBody, errorOfResult, toClientError } from '../rpc/errors.ts';
import { retryDelayMs } from '../rpc/retry.ts';
import type { ReceiveBuffer } from './buffer.ts';
import type { PartitionProgress } from './progress.ts';
import { decodeFetchResponse, encodeSubscribe, type FetchedPartition } from './wire.ts';

export interface FetcherOptions {
  readonly clientId: string;
  readonly maxBytes: number;
  readonly heartbeatMs: number;
  readonly maxAgeMs: number;
  readonly acceptedCodecs: readonly number[];
  readonly outOfRange: 'earliest' | 'latest' | 'error';
  readonly unavailableTimeoutMs: number;
  readonly requestTimeoutMs: number;
}

interface Stream {
  readonly channel: Channel;
  readonly members: ReadonlyMap<PartitionProgress, number>;
  readonly abort: AbortController;
}

/** Partitions that one subscription takes. */
const partitionsMax = 1000;
/** Errors that the leader's successor, or the same server a moment later, does not give. */
const passingCodes: ReadonlySet<ErrorName> = new Set<ErrorName>(['TOPIC_NOT_FOUND', 'PARTITION_NOT_FOUND']);
/** A server may not have heard yet of a topic that the metadata names; after so many errors it is believed. */
const passingErrorsMax = 8;

export class Fetcher {
  readonly #options: FetcherOptions;
  readonly #ports: ClientPorts;
  readonly #metadata: Metadata;
  readonly #buffer: ReceiveBuffer;
  readonly #partitions = new Set<PartitionProgress>();
  readonly #byName = new Map<string, PartitionProgress>();
  readonly #streams = new Set<Stream>();
  readonly #running = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  readonly #aliveAtMs = new Map<PartitionProgress, number>();
  readonly #resetting = new Set<PartitionProgress>();
  #isScheduled = false;
  #timer: Timer | undefined;

  constructor(options: FetcherOptions, metadata: Metadata, buffer: ReceiveBuffer) {
    this.#options = options;
    this.#ports = metadata.ports;
    this.#metadata = metadata;
    this.#buffer = buffer;
  }

  add(progress: PartitionProgress): void {
    this.#partitions.add(progress);
    this.#byName.set(formatTopicPartition(progress.topic, progress.partition), progress);
    this.#aliveAtMs.set(progress, this.#ports.clock.monotonicMs());
    this.reconcile();
  }

  /** Works out anew who reads what, once the running code has ended. */
  reconcile(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      if (!this.#closing.signal.aborted) this.#reconcile();
    });
  }

  /** Ends all streams; resolves when they are gone. */
  async close(): Promise<void> {
    this.#closing.abort(new DomainError('CANCELLED', 'the consumer was closed'));
    this.#timer?.cancel();
    for (const { abort } of this.#streams) abort.abort(this.#closing.signal.reason);
    await Promise.all(this.#running);
  }

  #reconcile(): void {
    const wanted = this.#wantedByChannel();
    for (const stream of [...this.#streams]) {
      const sets = wanted.get(stream.channel) ?? [];
      const same = sets.findIndex((set) => hasSameMembers(set, stream.members));
      if (same >= 0) sets.splice(same, 1);
      else this.#stop(stream);
    }
    for (const [channel, sets] of wanted) for (const members of sets) this.#start(channel, members);
  }

  #wantedByChannel(): Map<Channel, Map<PartitionProgress, number>[]> {
    const nowMs = this.#ports.clock.monotonicMs();
    const wanted = new Map<Channel, Map<PartitionProgress, number>[]>();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const progress of this.#partitions) {
      if (progress.isPaused || progress.isFetched || this.#resetting.has(progress)) continue;
      const channel = progress.retryAtMs > nowMs ? undefined : this.#metadata.route(progress.topic, progress.partition);
      if (channel === undefined) {
        if (progress.retryAtMs <= nowMs) {
          this.#failed(progress, unroutable(this.#metadata, progress.topic, progress.partition));
        }
        nextMs = Math.min(nextMs, progress.retryAtMs);
        continue;
      }
      const sets = wanted.get(channel) ?? [];
      wanted.set(channel, sets);
      if ((sets.at(-1)?.size ?? partitionsMax) >= partitionsMax) sets.push(new Map());
      sets.at(-1)?.set(progress, progress.subscription);
    }
    this.#timer?.cancel();
    if (nextMs < Number.POSITIVE_INFINITY) {
      const { clock, timers } = this.#ports;
      this.#timer = timers.after(Math.max(1, nextMs - clock.monotonicMs()), () => this.reconcile());
    }
    return wanted;
  }

  #start(channel: Channel, members: ReadonlyMap<PartitionProgress, number>): void {
    const stream: Stream = { channel, members, abort: new AbortController() };
    this.#streams.add(stream);
    const run = this.#run(stream).finally(() => {
      this.#streams.delete(stream);
      this.#running.delete(run);
      this.reconcile();
    });
    this.#running.add(run);
  }

  #stop(stream: Stream): void {
    this.#streams.delete(stream);
    stream.abort.abort(new DomainError('CANCELLED', 'the subscription is replaced'));
  }

  /** Reads one subscription to its end. Never rejects. */
  async #run(stream: Stream): Promise<void> {
    const { channel, members, abort } = stream;
    const partitions = [...members.keys()].map(({ topic, partition, fetched }) => ({
      topic,
      partition,
      start: fetched,
    }));
    const watchdog = new Watchdog(3 * this.#options.heartbeatMs + 1000, abort, channel.address, this.#ports.timers);
    let answers = 0;
    try {
      const request = encodeSubscribe(this.#options, partitions);
      const method = ConsumerService.method.subscribe;
      for await (const bytes of channel.rawServerStream(method, request, { signal: abort.signal })) {
        if (abort.signal.aborted) return;
        answers++;
        watchdog.rest();
        const answer = checkBody(decodeFetchResponse(bytes), `subscription at ${channel.address}`);
        this.#noteAlive(stream);
        for (const fetched of answer.partitions) this.#receive(stream, fetched);
        await this.#buffer.room(abort.signal);
        watchdog.watch();
      }
      if (answers === 0) throw new DomainError('NOT_AVAILABLE', `${channel.address} ended the subscription at once`);
    } catch (thrown) {
      if (!abort.signal.aborted || watchdog.hasFired) this.#streamFailed(stream, toClientError(thrown));
    } finally {
      watchdog.rest();
      abort.abort();
    }
  }

  /** A sign of life of the server counts for all its partitions that did not fail on their own. */
  #noteAlive({ members }: Stream): void {
    const nowMs = this.#ports.clock.monotonicMs();
    for (const progress of members.keys()) if (progress.failures === 0) this.#aliveAtMs.set(progress, nowMs);
  }

  #receive(stream: Stream, fetched: FetchedPartition): void {
    const name = formatTopicPartition(fetched.topic, fetched.partition);
    const progress = this.#byName.get(name);
    if (progress === undefined || stream.members.get(progress) !== progress.subscription) return;
    const error = errorOfResult(fetched, name);
    if (error !== undefined) {
      this.#failed(progress, error);
      return;
    }
    progress.failures = 0;
    this.#aliveAtMs.set(progress, this.#ports.clock.monotonicMs());
    progress.highWatermark = Math.max(progress.highWatermark, fetched.highWatermark);
    for (const bytes of fetched.batches) {
      const header = readBatchHeader(bytes);
      const count = Math.max(header.recordCount, header.recordEntries);
      const endOffset = header.baseOffset + Math.max(header.lastOffsetDelta, count - 1) + 1;
      if (!progress.take(header.baseOffset, endOffset)) continue;
      this.#buffer.push({ progress, generation: progress.generation, bytes, size: bytes.length, endOffset });
    }
    if (progress.skipTo(fetched.nextOffset)) {
      const endOffset = fetched.nextOffset;
      this.#buffer.push({ progress, generation: progress.generation, bytes: undefined, size: 0, endOffset });
    }
    if (progress.isFetched) this.reconcile();
  }

  #streamFailed({ members }: Stream, error: DomainError): void {
    for (const [progress, subscription] of members) {
      if (progress.subscription === subscription) this.#failed(progress, error);
    }
    this.#metadata.rotate();
  }

  /** Plans another attempt for the partition, or ends the consumer. */
  #failed(progress: PartitionProgress, error: DomainError): void {
    const nowMs = this.#ports.clock.monotonicMs();
    progress.subscription++;
    if (error.code === 'OFFSET_OUT_OF_RANGE') {
      this.#reset(progress, error);
      return;
    }
    progress.failures++;
    const isPassing = error.retriable || (passingCodes.has(error.code) && progress.failures <= passingErrorsMax);
    const silentMs = nowMs - (this.#aliveAtMs.get(progress) as number);
    if (!isPassing || silentMs > this.#options.unavailableTimeoutMs) {
      this.#buffer.finish(error);
      return;
    }
    const hintTaken = this.#metadata.applyHint(progress.topic, progress.partition, error.leaderHint);
    // Two servers that each name the other as the leader must not make a tight loop.
    const isQuick = hintTaken && progress.failures === 1;
    progress.retryAtMs = isQuick ? 0 : nowMs + retryDelayMs(progress.failures, error, this.#ports.random);
    if (!hintTaken) {
      this.#metadata.refresh(progress.topic).then(
        () => undefined,
        () => undefined, // The next attempt finds out; the partition's own silence is bounded.
      );
    }
    this.reconcile();
  }

  /** The offset is not there (any more): as the caller's policy says. */
  #reset(progress: PartitionProgress, error: DomainError): void {
    const { clientId, requestTimeoutMs } = this.#options;
    const policy = progress.origin ?? this.#options.outOfRange;
    if (policy === 'error') {
      this.#buffer.finish(error);
      return;
    }
    if (this.#resetting.has(progress)) return;
    this.#resetting.add(progress);
    this.reconcile();
    const { topic, partition, generation } = progress;
    const bounds = { timeoutMs: requestTimeoutMs, signal: this.#closing.signal };
    const reset = findOffsets(this.#metadata, clientId, [{ topic, partition, position: policy }], bounds)
      .then(
        ([offset]) => {
          if (progress.generation === generation) this.#goOnAt(progress, offset as number);
        },
        (thrown) => {
          const failure = toClientError(thrown);
          if (!failure.retriable) this.#buffer.finish(failure);
          else this.#retryLater(progress, failure);
        },
      )
      .finally(() => {
        this.#resetting.delete(progress);
        this.#running.delete(reset);
        this.reconcile();
      });
    this.#running.add(reset);
  }
  /** Forward: what is buffered is still handed over first. Backward: the log was cut, so it is dropped. */
  #goOnAt(progress: PartitionProgress, offset: number): void {
    if (progress.skipTo(offset)) {
      this.#buffer.push({ progress, generation: progress.generation, bytes: undefined, size: 0, endOffset: offset });
    } else if (offset < progress.fetched) {
      progress.moveTo(offset);
      this.#buffer.dropOutdated(progress);
    } else {
      this.#retryLater(progress, outOfRangeAgain);
    }
  }

  #retryLater(progress: PartitionProgress, error: DomainError): void {
    const { clock, random } = this.#ports;
    progress.retryAtMs = clock.monotonicMs() + retryDelayMs(++progress.failures, error, random);
  }
}

const outOfRangeAgain = new DomainError('OFFSET_OUT_OF_RANGE', 'the new offset is the old one');

function hasSameMembers(a: ReadonlyMap<unknown, number>, b: ReadonlyMap<unknown, number>): boolean {
  if (a.size !== b.size) return false;
  for (const [key, subscription] of a) if (b.get(key) !== subscription) return false;
  return true;
}

/** Aborts a stream that is silent for too long. Rests while the reader itself does not read. */
class Watchdog {
  readonly #silenceMs: number;
  readonly #abort: AbortController;
  readonly #address: string;
  readonly #timers: Timers;
  #timer: Timer | undefined;
  hasFired = false;

  constructor(silenceMs: number, abort: AbortController, address: string, timers: Timers) {
    this.#silenceMs = silenceMs;
    this.#abort = abort;
    this.#address = address;
    this.#timers = timers;
    this.watch();
  }

  watch(): void {
    this.#timer?.cancel();
    this.#timer = this.#timers.after(this.#silenceMs, () => {
      this.hasFired = true;
      const text = `the subscription at ${this.#address} was silent for ${this.#silenceMs} ms`;
      this.#abort.abort(new DomainError('NOT_AVAILABLE', text));
    });
  }

  rest(): void {
    this.#timer?.cancel();
  }
}
