/**
 * The reading calls around the fetcher: where each partition of a call begins (cursor, position), and the three ways to
 * answer: once, by topics, and as a subscription.
 */
import type { ListenerName, MetadataImage } from '@fleetmq/metadata';
import { type Checksum, type Clock, DomainError, isDomainError, type TopicPartitionName } from '@fleetmq/shared';
import { assertPartitionCount, boundFetch, type FetchBounds } from '../domain/fetch.ts';
import { locateTopic } from '../domain/topics.ts';
import { decodeCursor, encodeCursor } from '../wire/cursor.ts';
import {
  encodeFetchAnswer,
  type FetchBatchRequest,
  type FetchPartitionAsk,
  type PartitionAnswer,
  type Position,
  type SubscribeRequest,
} from '../wire/fetch.ts';
import { type Fetcher, failedAnswer } from './fetcher.ts';
import { runSubscription, type SubscriptionStart } from './subscription.ts';

export interface ReadingOptions {
  readonly fetcher: Fetcher;
  readonly image: MetadataImage;
  readonly listener: ListenerName;
  readonly checksum: Checksum;
  readonly clock: Clock;
  readonly bounds: FetchBounds;
  readonly onSent: (bytes: number) => void;
}

const heartbeatBounds = { defaultMs: 5_000, minMs: 100, maxMs: 30_000 } as const;
const maxAgeMaxMs = 30 * 60_000;

/** A message, and the bytes of it that stay charged until the caller releases them. */
export interface ChargedAnswer {
  readonly message: Uint8Array[];
  readonly bytes: number;
}

export class Reading {
  readonly #options: ReadingOptions;

  constructor(options: ReadingOptions) {
    this.#options = options;
  }

  /** FetchBatch: all partitions of the topics, from the cursor or the start position on. */
  async fetchTopics(
    request: FetchBatchRequest,
    callMs: number | undefined,
    signals: readonly AbortSignal[],
  ): Promise<ChargedAnswer> {
    const { fetcher, listener, checksum, bounds } = this.#options;
    const failed: PartitionAnswer[] = [];
    const targets = request.topics.flatMap((topic) => this.#partitionsOf(topic, failed));
    if (targets.length > 0) assertPartitionCount(targets.length, bounds.partitionsMax);
    const known = this.#knownPlaces(request.cursor);
    const starts = await this.#startsOf(
      targets.map((target) => ({ target, start: request.start })),
      known,
      failed,
    );
    const asks = starts.map(askOf);
    const want = boundFetch(request, callMs, bounds);
    // Bad news is told at once.
    const waiting = failed.length > 0 ? { ...want, maxWaitMs: 0 } : want;
    const context = { listener, acceptedCodecs: request.acceptedCodecs };
    const pass = await fetcher.fetch(asks, waiting, context, signals);
    const news = pass.answers.filter(({ error, batches }) => error !== undefined || batches.length > 0);
    for (const { target, nextOffset } of pass.answers) known.set(keyOf(target), { target, nextOffset });
    this.#options.onSent(pass.bytes);
    return {
      message: encodeFetchAnswer([...failed, ...news], encodeCursor(known.values(), checksum)),
      bytes: pass.bytes,
    };
  }

  /** Subscribe with given partitions. */
  async *subscribe(request: SubscribeRequest, signals: readonly AbortSignal[]): AsyncGenerator<Uint8Array[], void> {
    const { fetcher, listener, checksum, clock, bounds, onSent } = this.#options;
    const failed: PartitionAnswer[] = [];
    const starts = await this.#startsOf(request.partitions, this.#knownPlaces(request.cursor), failed);
    if (failed.length > 0) yield encodeFetchAnswer(failed, encodeCursor(starts, checksum));
    const { maxBytes } = boundFetch({ maxBytes: request.maxBytes, minBytes: 1, maxWaitMs: 0 }, undefined, bounds);
    const { defaultMs, minMs, maxMs } = heartbeatBounds;
    const heartbeatMs = Math.min(maxMs, Math.max(minMs, request.heartbeatMs || defaultMs));
    const maxAgeMs = Math.min(maxAgeMaxMs, request.maxAgeMs || maxAgeMaxMs);
    const context = { listener, acceptedCodecs: request.acceptedCodecs };
    const rest = { fetcher, checksum, clock, signals, onSent, context };
    yield* runSubscription({ ...rest, starts, maxBytes, heartbeatMs, maxAgeMs });
  }

  #partitionsOf(topic: string, failed: PartitionAnswer[]): TopicPartitionName[] {
    const { image } = this.#options;
    try {
      const { topicId } = locateTopic(image, topic);
      return image.partitions(topicId).map(({ partition }) => ({ topic, partition }));
    } catch (error) {
      if (!isDomainError(error)) throw error;
      failed.push(failedAnswer(askOf({ target: { topic, partition: 0 }, nextOffset: 0 }), error));
      return [];
    }
  }

  #knownPlaces(cursor: Uint8Array): Map<string, SubscriptionStart> {
    const known = new Map<string, SubscriptionStart>();
    if (cursor.length === 0) return known;
    for (const entry of decodeCursor(cursor, this.#options.checksum)) known.set(keyOf(entry.target), entry);
    return known;
  }

  /** Where each partition begins. What cannot be found out is added to `failed`. */
  async #startsOf(
    wanted: readonly { readonly target: TopicPartitionName; readonly start: Position }[],
    known: ReadonlyMap<string, SubscriptionStart>,
    failed: PartitionAnswer[],
  ): Promise<SubscriptionStart[]> {
    const starts: SubscriptionStart[] = [];
    const seen = new Set<string>();
    for (const { target, start } of wanted) {
      const key = keyOf(target);
      if (seen.has(key)) throw new DomainError('INVALID_REQUEST', `${target.topic}-${target.partition} is named twice`);
      seen.add(key);
      const place = known.get(key);
      if (place !== undefined) starts.push({ target, nextOffset: place.nextOffset });
      else if (start.kind === 'offset') starts.push({ target, nextOffset: start.offset });
      else {
        try {
          const { offset } = await this.#options.fetcher.locate(target, start, this.#options.listener);
          starts.push({ target, nextOffset: offset });
        } catch (error) {
          if (!isDomainError(error)) throw error;
          failed.push(failedAnswer(askOf({ target, nextOffset: 0 }), error));
        }
      }
    }
    return starts;
  }
}

function askOf({ target, nextOffset }: SubscriptionStart): FetchPartitionAsk {
  return { target, fetchOffset: nextOffset, maxBytes: 0, leaderEpoch: 0 };
}

function keyOf({ topic, partition }: TopicPartitionName): string {
  return `${topic}\n${partition}`;
}
