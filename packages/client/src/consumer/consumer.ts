/**
 * The consumer as callers see it: an async iterable of records, or of batches, over one or many partitions. It starts with the
 * first pull, is read by one loop at a time, and ends by itself where `until` says. Records of a partition come in offset
 * order, each once; partitions interleave as they arrive.
 *
 * A position moves when a batch's records have been handed over (`batches`), or record by record (`for await`).
 * Leaving the loop closes the consumer. Groups are not built: a group id is UNIMPLEMENTED.
 */
import { DomainError, formatTopicPartition, type Offset, type Timer } from '@fleetmq/shared';
import type { CallBounds } from '../metadata.ts';
import type { PartitionRef, Position } from '../offsets.ts';
import { cancelled } from '../rpc/errors.ts';
import { codec, type Serde } from '../serde.ts';
import { ReceiveBuffer } from './buffer.ts';
import { Fetcher } from './fetcher.ts';
import { BatchOpener } from './opener.ts';
import { type ConsumerDeps, type ConsumerOptions, checkConsumerOptions } from './options.ts';
import { type Assignment, originOf, type Placed, resolveAssignment, resolvePlaces } from './plan.ts';
import { countOf, PartitionProgress, type Until } from './progress.ts';
import { type BufferedBatch, type ConsumedBatch, type ConsumedRecord, recordsOf, type Serdes } from './record.ts';

export class Consumer<Key = Uint8Array, Value = Uint8Array>
  implements AsyncIterable<ConsumedRecord<Key, Value>>, AsyncDisposable
{
  readonly #options: ConsumerOptions<Key, Value>;
  readonly #deps: ConsumerDeps;
  readonly #serdes: Serdes<Key, Value>;
  readonly #buffer: ReceiveBuffer;
  readonly #opener: BatchOpener;
  readonly #fetcher: Fetcher;
  readonly #requestTimeoutMs: number;
  readonly #partitions = new Map<string, PartitionProgress>();
  readonly #closing = new AbortController();
  #countLeft: number;
  #starting: Promise<void> | undefined;
  #discovery: Timer | undefined;
  #endTimer: Timer | undefined;
  #isRead = false;
  #closed: Promise<void> | undefined;

  constructor(options: ConsumerOptions<Key, Value>, deps: ConsumerDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#serdes = {
      key: options.key ?? (codec.bytes as unknown as Serde<Key>),
      value: options.value ?? (codec.bytes as unknown as Serde<Value>),
    };
    this.#countLeft = countOf(options.until);
    const checked = checkConsumerOptions(options as ConsumerOptions<never, never>, deps);
    this.#buffer = new ReceiveBuffer(checked.maxBytesInFlight);
    const { codecs, checksum } = deps;
    this.#opener = new BatchOpener(options.verify === false ? { codecs } : { codecs, checksum }, this.#buffer);
    this.#fetcher = new Fetcher(checked.fetcher, deps.metadata, this.#buffer);
    this.#requestTimeoutMs = checked.fetcher.requestTimeoutMs;
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

  readonly #abort = (): void => {
    const error = cancelled(this.#options.signal?.reason);
    this.#closing.abort(error);
    this.#buffer.finish(error);
  };

  async #close(): Promise<void> {
    this.#options.signal?.removeEventListener('abort', this.#abort);
    this.#closing.abort(new DomainError('CANCELLED', 'the consumer was closed'));
    this.#discovery?.cancel();
    this.#endTimer?.cancel();
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
    const assignment = await this.#assign();
    const { until, discoverMs = 30_000, from = 'latest' } = this.#options;
    const starts = await this.#resolve(assignment.map((entry) => ({ ...entry, position: entry.from })));
    const made = assignment.map(
      ({ topic, partition, from: own }, index) =>
        new PartitionProgress(topic, partition, starts[index] as Offset, originOf(own)),
    );
    if (until !== undefined) await this.#setEnds(made, until);
    if (this.#closing.signal.aborted) throw cancelled(this.#closing.signal.reason);
    for (const progress of made) {
      this.#partitions.set(formatTopicPartition(progress.topic, progress.partition), progress);
      this.#fetcher.add(progress);
    }
    const isOpenEnded = until === undefined || (typeof until === 'object' && 'count' in until);
    if (this.#options.assignment === undefined && isOpenEnded && typeof from !== 'number') {
      this.#discovery = this.#deps.ports.timers.every(discoverMs, () => void this.#discover());
    }
  }

  #assign(): Promise<Assignment[]> {
    return resolveAssignment(this.#deps.metadata, this.#options, this.#bounds());
  }

  #resolve(places: readonly Placed[], bounds: CallBounds = {}): Promise<Offset[]> {
    return resolvePlaces(this.#deps, places, this.#bounds(bounds));
  }

  #bounds({ timeoutMs, signal }: CallBounds = {}): { readonly timeoutMs: number; readonly signal: AbortSignal } {
    return { timeoutMs: timeoutMs ?? this.#requestTimeoutMs, signal: signal ?? this.#closing.signal };
  }

  async #setEnds(made: readonly PartitionProgress[], until: Until): Promise<void> {
    if (typeof until === 'object' && 'count' in until) return;
    const { clock, timers } = this.#deps.ports;
    const delayMs = until instanceof Date ? until.getTime() - clock.wallMs() : 0;
    if (delayMs > 0) {
      // A time to come: what arrives before it is wanted anyway; the ends are known when it is there.
      this.#endTimer = timers.after(Math.min(delayMs, 2 ** 31 - 1), () => void this.#setEndsLater(made, until));
      return;
    }
    const position = until === 'end' ? 'latest' : until;
    const ends = await this.#resolve(made.map(({ topic, partition }) => ({ topic, partition, position })));
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
      const assignment = await this.#assign();
      const added = assignment.filter(
        ({ topic, partition }) => !this.#partitions.has(formatTopicPartition(topic, partition)),
      );
      const starts = await this.#resolve(added.map((entry) => ({ ...entry, position: 'earliest' as const })));
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
      if (buffered !== undefined) {
        const opened = await this.#open(buffered);
        // A seek or a pause while it was inflated has dropped it.
        if (buffered.generation === buffered.progress.generation) return opened;
        continue;
      }
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

  /** Errors: CORRUPT_BATCH, UNSUPPORTED_CODEC, RECORD_TOO_LARGE (over the inflation limits). */
  async #open(buffered: BufferedBatch): Promise<Opened<Key, Value>> {
    const { progress, bytes } = buffered;
    if (bytes === undefined) return { buffered, records: [] };
    const batch = await this.#opener.open(buffered, bytes);
    const range = { from: progress.position, end: progress.end ?? Number.POSITIVE_INFINITY, countMax: this.#countLeft };
    return { buffered, records: recordsOf(progress, batch, range, this.#serdes) };
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
