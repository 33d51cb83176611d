/**
 * The consumer as callers see it: an async iterable of records, or of batches, over one or many partitions. It starts with the
 * first pull, is read by one loop at a time, and ends by itself where `until` says. Records of a partition come in offset
 * order, each once; partitions interleave as they arrive.
 *
 * A position moves when a batch's records have been handed over (`batches`), or record by record (`for await`).
 * Leaving the loop closes the consumer. Groups are not built: a group id is UNIMPLEMENTED.
 */
import type { Codecs } from '@fleetmq/record';
import { type Checksum, DomainError, formatTopicPartition, type Offset } from '@fleetmq/shared';
import type { CallBounds, Metadata } from '../metadata.ts';
import { findOffsets, type PartitionRef, type Position } from '../offsets.ts';
import { inRange } from '../producer/options.ts';
import { cancelled } from '../rpc/errors.ts';
import { codec, type Serde } from '../serde.ts';
import { ReceiveBuffer } from './buffer.ts';
import { Fetcher } from './fetcher.ts';
import { checkUntil, PartitionProgress, type Until } from './progress.ts';
import { type BufferedBatch, type ConsumedBatch, type ConsumedRecord, recordsOf, type Serdes } from './record.ts';

export interface ConsumerOptions<Key, Value> {
  /** One topic, all its partitions. Exactly one of `topic`, `topics` and `assignment`. */
  readonly topic?: string;
  /** Several topics, all their partitions. */
  readonly topics?: readonly string[];
  /** These partitions; each may have a start of its own. */
  readonly assignment?: readonly (PartitionRef & { readonly from?: Position })[];
  /** Where to begin. Default `latest`. A Date: the first record at or after it. */
  readonly from?: Position;
  /** Where to end: the end as of the start, an offset or time that is not read any more, or after so many records. Default: never. */
  readonly until?: Until;
  /** Default: bytes as they are. */
  readonly key?: Serde<Key>;
  /** Default: bytes as they are. */
  readonly value?: Serde<Value>;
  /** Bytes that are received and not handed over, before inflation. Default 16 MiB; one answer per server comes on top. */
  readonly maxBytesInFlight?: number;
  /** Bytes of one answer. Default 1 MiB, at most 3 MiB. */
  readonly maxBytes?: number;
  /** When an offset is not in the log (any more). Default `error`. */
  readonly outOfRange?: 'earliest' | 'latest' | 'error';
  /** How often servers show that they live while there is no news. Default 2,000 ms, 100 to 30,000. */
  readonly heartbeatMs?: number;
  /** How long a partition may have no leader that answers. Default 120,000 ms. */
  readonly unavailableTimeoutMs?: number;
  /** One look-up of offsets, with retries. Default 30,000 ms. */
  readonly requestTimeoutMs?: number;
  /** How often new partitions of the topics are looked for. Default 30,000 ms. */
  readonly discoverMs?: number;
  /** Compares the checksum of each batch. Default true. */
  readonly verify?: boolean;
  /** Ends the iteration with CANCELLED. */
  readonly signal?: AbortSignal;
  /** Not built: UNIMPLEMENTED. */
  readonly group?: string;
}

export interface ConsumerDeps {
  readonly metadata: Metadata;
  readonly clientId: string;
  readonly codecs: Codecs;
  readonly checksum: Checksum;
  /** Runs when the consumer has been closed. */
  readonly onClosed?: () => void;
}

const maxAgeMs = 30 * 60_000;

export class Consumer<Key = Uint8Array, Value = Uint8Array>
  implements AsyncIterable<ConsumedRecord<Key, Value>>, AsyncDisposable
{
  readonly #options: ConsumerOptions<Key, Value>;
  readonly #deps: ConsumerDeps;
  readonly #serdes: Serdes<Key, Value>;
  readonly #buffer: ReceiveBuffer;
  readonly #fetcher: Fetcher;
  readonly #partitions = new Map<string, PartitionProgress>();
  readonly #closing = new AbortController();
  #countLeft: number;
  #starting: Promise<void> | undefined;
  #discovery: ReturnType<typeof setInterval> | undefined;
  #endTimer: ReturnType<typeof setTimeout> | undefined;
  #isRead = false;
  #closed: Promise<void> | undefined;

  constructor(options: ConsumerOptions<Key, Value>, deps: ConsumerDeps) {
    checkConsumerOptions(options as ConsumerOptions<never, never>);
    this.#options = options;
    this.#deps = deps;
    this.#serdes = {
      key: options.key ?? (codec.bytes as unknown as Serde<Key>),
      value: options.value ?? (codec.bytes as unknown as Serde<Value>),
    };
    this.#countLeft =
      typeof options.until === 'object' && 'count' in options.until ? options.until.count : Number.POSITIVE_INFINITY;
    this.#buffer = new ReceiveBuffer(
      inRange('maxBytesInFlight', options.maxBytesInFlight ?? 16 * 1024 * 1024, 1, 2 ** 40),
    );
    this.#fetcher = new Fetcher(
      {
        clientId: deps.clientId,
        maxBytes: inRange('maxBytes', options.maxBytes ?? 1024 * 1024, 1, 3 * 1024 * 1024),
        heartbeatMs: inRange('heartbeatMs', options.heartbeatMs ?? 2000, 100, 30_000),
        maxAgeMs,
        acceptedCodecs: [...deps.codecs.keys()],
        outOfRange: options.outOfRange ?? 'error',
        unavailableTimeoutMs: inRange('unavailableTimeoutMs', options.unavailableTimeoutMs ?? 120_000, 1, 2 ** 31),
        requestTimeoutMs: this.#requestTimeoutMs,
      },
      deps.metadata,
      this.#buffer,
    );
    const { signal } = options;
    if (signal?.aborted === true) this.#abort();
    else signal?.addEventListener('abort', this.#abort, { once: true });
  }

  /** The partitions that are read; empty before the start. */
  get assignment(): readonly PartitionRef[] {
    return [...this.#partitions.values()].map(({ topic, partition }) => ({ topic, partition }));
  }

  /** The next offset that the caller gets of this partition; undefined before the start, or when it is not read here. */
  position(topic: string, partition: number): Offset | undefined {
    return this.#partitions.get(formatTopicPartition(topic, partition))?.position;
  }

  /** Records behind the position that are committed, as far as the leader has said. */
  lag(topic: string, partition: number): number | undefined {
    const progress = this.#partitions.get(formatTopicPartition(topic, partition));
    return progress === undefined ? undefined : Math.max(0, progress.highWatermark - progress.position);
  }

  /** Resolves when the positions are known. The first pull does it by itself. */
  start(): Promise<void> {
    this.#starting ??= this.#start();
    return this.#starting;
  }

  /** Hands over nothing more of these partitions (default: all) until `resume`. */
  pause(partitions: readonly PartitionRef[] = this.assignment): void {
    for (const progress of this.#find(partitions)) {
      if (progress.isPaused) continue;
      progress.isPaused = true;
      progress.rewind();
      this.#buffer.dropOutdated(progress);
    }
    this.#fetcher.reconcile();
  }

  resume(partitions: readonly PartitionRef[] = this.assignment): void {
    for (const progress of this.#find(partitions)) progress.isPaused = false;
    this.#fetcher.reconcile();
  }

  /** Goes on at this place. An end that was set by `until` stays. */
  async seek(partition: PartitionRef, position: Position, bounds: CallBounds = {}): Promise<void> {
    await this.start();
    const [progress] = this.#find([partition]) as [PartitionProgress];
    const [offset] = (await this.#resolve([{ ...partition, position }], bounds)) as [Offset];
    progress.moveTo(offset, originOf(position));
    this.#buffer.dropOutdated(progress);
    this.#fetcher.reconcile();
  }

  /** Batches as they arrive: the cheap way for many records. Ends as the record iteration does. */
  async *batches(): AsyncGenerator<ConsumedBatch<Key, Value>, void, undefined> {
    this.#claim();
    try {
      for (let batch = await this.#nextBatch(); batch !== undefined; batch = await this.#nextBatch()) {
        const { buffered, records } = batch;
        this.#countLeft -= records.length;
        const { topic, partition, highWatermark } = buffered.progress;
        const nextOffset = this.#endOf(batch);
        buffered.progress.deliver(nextOffset);
        if (records.length > 0) yield { topic, partition, nextOffset: nextOffset as Offset, highWatermark, records };
      }
    } finally {
      await this.close();
    }
  }

  [Symbol.asyncIterator](): AsyncIterator<ConsumedRecord<Key, Value>, void, undefined> {
    this.#claim();
    let current: Opened<Key, Value> | undefined;
    let at = 0;
    const takeNext = (): ConsumedRecord<Key, Value> | undefined => {
      // A seek or a pause in the middle of a batch drops the rest of it.
      if (current === undefined || current.buffered.generation !== current.buffered.progress.generation)
        return undefined;
      const record = current.records[at];
      if (record === undefined) {
        current.buffered.progress.deliver(this.#endOf(current));
        return undefined;
      }
      at++;
      this.#countLeft--;
      current.buffered.progress.deliver(record.offset + 1);
      return record;
    };
    const pull = async (): Promise<IteratorResult<ConsumedRecord<Key, Value>, void>> => {
      try {
        for (;;) {
          current = await this.#nextBatch();
          at = 0;
          if (current === undefined) break;
          const record = takeNext();
          if (record !== undefined) return { done: false, value: record };
        }
      } catch (error) {
        await this.close();
        throw error;
      }
      await this.close();
      return { done: true, value: undefined };
    };
    return {
      next: () => {
        const record = takeNext();
        return record === undefined ? pull() : Promise.resolve({ done: false, value: record });
      },
      return: async () => {
        await this.close();
        return { done: true, value: undefined };
      },
    };
  }

  /** Ends the iteration, its streams and timers. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #requestTimeoutMs(): number {
    return this.#options.requestTimeoutMs ?? 30_000;
  }

  readonly #abort = (): void => {
    const error = cancelled(this.#options.signal?.reason);
    this.#closing.abort(error);
    this.#buffer.finish(error);
  };

  async #close(): Promise<void> {
    this.#options.signal?.removeEventListener('abort', this.#abort);
    this.#closing.abort(new DomainError('CANCELLED', 'the consumer was closed'));
    clearInterval(this.#discovery);
    clearTimeout(this.#endTimer);
    this.#buffer.finish();
    await this.#fetcher.close();
    this.#deps.onClosed?.();
  }

  #claim(): void {
    if (this.#isRead)
      throw new DomainError('INVALID_REQUEST', 'a consumer is read by one loop, once: make another one');
    this.#isRead = true;
  }

  async #start(): Promise<void> {
    const assignment = await this.#resolveAssignment();
    const { until, discoverMs = 30_000, from = 'latest' } = this.#options;
    const starts = await this.#resolve(
      assignment.map((entry) => ({ ...entry, position: entry.from })),
      {},
    );
    const made = assignment.map(
      ({ topic, partition, from: own }, index) =>
        new PartitionProgress(topic, partition, starts[index] as Offset, originOf(own)),
    );
    if (until !== undefined) await this.#setEnds(made, until);
    for (const progress of made) {
      this.#partitions.set(formatTopicPartition(progress.topic, progress.partition), progress);
      this.#fetcher.add(progress);
    }
    const isOpenEnded = until === undefined || (typeof until === 'object' && 'count' in until);
    if (this.#options.assignment === undefined && isOpenEnded && typeof from !== 'number') {
      this.#discovery = setInterval(() => void this.#discover(), discoverMs);
    }
  }

  async #resolveAssignment(): Promise<(PartitionRef & { readonly from: Position })[]> {
    const { topic, topics = topic === undefined ? [] : [topic], assignment, from = 'latest' } = this.#options;
    if (assignment !== undefined) return assignment.map((entry) => ({ from, ...entry }));
    const bounds = { timeoutMs: this.#requestTimeoutMs, signal: this.#closing.signal };
    const views = await Promise.all([...new Set(topics)].map((name) => this.#deps.metadata.refresh(name, bounds)));
    return views.flatMap(({ name, partitions }) =>
      partitions.map(({ partition }) => ({ topic: name, partition, from })),
    );
  }

  /** Places as offsets; plain offsets are taken as they are. */
  async #resolve(
    places: readonly (PartitionRef & { readonly position: Position })[],
    bounds: CallBounds,
  ): Promise<Offset[]> {
    const asked = places.filter(({ position }) => typeof position !== 'number');
    const found = await findOffsets(this.#deps.metadata, this.#deps.clientId, asked, {
      timeoutMs: bounds.timeoutMs ?? this.#requestTimeoutMs,
      signal: bounds.signal ?? this.#closing.signal,
    });
    let next = 0;
    return places.map(({ position }) =>
      typeof position === 'number' ? (position as Offset) : (found[next++] as Offset),
    );
  }

  async #setEnds(made: readonly PartitionProgress[], until: Until): Promise<void> {
    if (typeof until === 'object' && 'count' in until) return;
    const delayMs = until instanceof Date ? until.getTime() - Date.now() : 0;
    if (delayMs > 0) {
      // A time to come: what arrives before it is wanted anyway; the ends are known when it is there.
      this.#endTimer = setTimeout(() => void this.#setEndsLater(made, until), Math.min(delayMs, 2 ** 31 - 1));
      return;
    }
    const position = until === 'end' ? 'latest' : until;
    const ends = await this.#resolve(
      made.map(({ topic, partition }) => ({ topic, partition, position })),
      {},
    );
    made.forEach((progress, index) => {
      progress.end = ends[index] as Offset;
    });
  }

  async #setEndsLater(made: readonly PartitionProgress[], until: Until): Promise<void> {
    try {
      await this.#setEnds(made, until);
      for (const progress of made) {
        if (!progress.isFinished) continue;
        // A mark without records wakes the reader, who then sees the end.
        const { generation, position } = progress;
        this.#buffer.push({ progress, generation, bytes: undefined, size: 0, endOffset: position });
      }
      this.#fetcher.reconcile();
    } catch (error) {
      this.#buffer.finish(error as DomainError);
    }
  }

  /** Partitions that were added to the topics: whatever they hold came after the start, so all of it is read. */
  async #discover(): Promise<void> {
    try {
      const assignment = await this.#resolveAssignment();
      const added = assignment.filter(
        ({ topic, partition }) => !this.#partitions.has(formatTopicPartition(topic, partition)),
      );
      const starts = await this.#resolve(
        added.map((entry) => ({ ...entry, position: 'earliest' as const })),
        {},
      );
      added.forEach(({ topic, partition }, index) => {
        const progress = new PartitionProgress(topic, partition, starts[index] as Offset, 'earliest');
        this.#partitions.set(formatTopicPartition(topic, partition), progress);
        this.#fetcher.add(progress);
      });
    } catch {
      // The next round tries again; partitions that are read already report their own errors.
    }
  }

  #find(partitions: readonly PartitionRef[]): PartitionProgress[] {
    return partitions.map(({ topic, partition }) => {
      const progress = this.#partitions.get(formatTopicPartition(topic, partition));
      if (progress === undefined) {
        throw new DomainError(
          'INVALID_REQUEST',
          `${formatTopicPartition(topic, partition)} is not read by this consumer`,
        );
      }
      return progress;
    });
  }

  /** The next batch with its records; undefined at the end. Throws what ended the consumer. */
  async #nextBatch(): Promise<Opened<Key, Value> | undefined> {
    if (this.#starting === undefined || this.#partitions.size === 0) await this.#startUnlessClosed();
    for (;;) {
      if (this.#countLeft <= 0 || this.#isFinished()) return undefined;
      const buffered = this.#buffer.shift();
      if (buffered !== undefined) return this.#open(buffered);
      const end = await this.#buffer.news();
      if (end === undefined) continue;
      if (end.error !== undefined) throw end.error;
      return undefined;
    }
  }

  async #startUnlessClosed(): Promise<void> {
    if (this.#closing.signal.aborted) throw cancelled(this.#closing.signal.reason);
    await this.start();
  }

  #open(buffered: BufferedBatch): Opened<Key, Value> {
    const { codecs, checksum } = this.#deps;
    const { progress } = buffered;
    const range = { from: progress.position, end: progress.end ?? Number.POSITIVE_INFINITY, countMax: this.#countLeft };
    const options = this.#options.verify === false ? { codecs } : { codecs, checksum };
    return { buffered, records: recordsOf(buffered, range, options, this.#serdes) };
  }

  /** Where the position stands behind a batch: its end, or behind its last record if a count cut it short. */
  #endOf({ buffered, records }: Opened<Key, Value>): number {
    const last = records.at(-1);
    return this.#countLeft <= 0 && last !== undefined ? last.offset + 1 : buffered.endOffset;
  }

  #isFinished(): boolean {
    for (const progress of this.#partitions.values()) if (!progress.isFinished) return false;
    return this.#partitions.size > 0;
  }
}

interface Opened<Key, Value> {
  readonly buffered: BufferedBatch;
  readonly records: readonly ConsumedRecord<Key, Value>[];
}

function originOf(position: Position): 'earliest' | 'latest' | undefined {
  return position === 'earliest' || position === 'latest' ? position : undefined;
}

function checkConsumerOptions(options: ConsumerOptions<never, never>): void {
  if (options.group !== undefined) {
    throw new DomainError('UNIMPLEMENTED', 'consumer groups are not built yet: name topics or an assignment');
  }
  const targets = [options.topic, options.topics, options.assignment].filter((target) => target !== undefined);
  if (targets.length !== 1 || options.topics?.length === 0 || options.assignment?.length === 0) {
    throw new DomainError('INVALID_REQUEST', 'a consumer needs exactly one of topic, topics and assignment, not empty');
  }
  checkUntil(options.until);
}
