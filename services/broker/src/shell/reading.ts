/**
 * The reading calls around the fetcher: where each partition of a call begins (cursor, position), and the three ways to
 * answer: once, by topics, and as a subscription.
 */
import { type CursorEntry, decodeCursor, encodeCursor, type ListenerName, type MetadataImage } from '@fleetmq/metadata';
import {
  type Checksum,
  type Clock,
  DomainError,
  type HeldAnswer,
  isDomainError,
  type TopicId,
  type TopicPartitionName,
} from '@fleetmq/shared';
import { notTaken, type RawContext, type RawMessage } from '@fleetmq/shared/runtime';
import { assertPartitionCount, boundFetch, type FetchBounds } from '../domain/fetch.ts';
import { locateTopic } from '../domain/topics.ts';
import {
  encodeFetchAnswer,
  type FetchBatchRequest,
  type FetchPartitionAsk,
  fetchMessage,
  type PartitionAnswer,
  type Position,
  type SubscribeRequest,
} from '../wire/fetch.ts';
import { type Fetcher, failedAnswer } from './fetcher.ts';
import { cursorEntry, runSubscription, type SubscriptionStart } from './subscription.ts';

export interface ReadingOptions {
  readonly fetcher: Fetcher;
  readonly image: MetadataImage;
  readonly listener: ListenerName;
  readonly checksum: Checksum;
  readonly clock: Clock;
  readonly bounds: FetchBounds;
  /** Throws NOT_AVAILABLE before this broker has caught up with the metadata. */
  readonly assertServing: () => void;
  readonly onSent: (bytes: number) => void;
}

const heartbeatBounds = { defaultMs: 5_000, minMs: 100, maxMs: 30_000 } as const;
const maxAgeMaxMs = 30 * 60_000;

/** A message, and its bytes, which are held until the caller releases them. */
export interface ChargedAnswer {
  readonly message: RawMessage;
  readonly held: HeldAnswer;
}

/** What reading needs to know of a call. */
export type ReadingCall = Pick<RawContext, 'connection' | 'deadlineMs' | 'draining' | 'giveUp' | 'signal'>;

export class Reading {
  readonly #options: ReadingOptions;

  constructor(options: ReadingOptions) {
    this.#options = options;
  }

  /** FetchBatch: all partitions of the topics, from the cursor or the start position on. */
  async fetchTopics(request: FetchBatchRequest, call: ReadingCall): Promise<ChargedAnswer> {
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
    const want = boundFetch(request, call.deadlineMs, bounds);
    // Bad news is told at once.
    const waiting = failed.length > 0 ? { ...want, maxWaitMs: 0 } : want;
    const context = { listener, acceptedCodecs: request.acceptedCodecs, holder: call.connection };
    const pass = await fetcher.fetch(asks, waiting, context, [call.signal, call.draining]);
    const news = pass.answers.filter(({ error, batches }) => error !== undefined || batches.length > 0);
    for (const [index, { nextOffset }] of pass.answers.entries()) {
      const entry = cursorEntry({ ...(starts[index] as SubscriptionStart), nextOffset });
      known.set(placeOf(entry), entry);
    }
    this.#options.onSent(pass.bytes);
    return {
      message: fetchMessage([...failed, ...news], encodeCursor(known.values(), checksum)),
      held: pass.held,
    };
  }

  /** Subscribe with given partitions. */
  async *subscribe(request: SubscribeRequest, call: ReadingCall): AsyncGenerator<RawMessage, void> {
    const { fetcher, listener, checksum, clock, bounds, onSent } = this.#options;
    const failed: PartitionAnswer[] = [];
    const starts = await this.#startsOf(request.partitions, this.#knownPlaces(request.cursor), failed);
    if (failed.length > 0) yield encodeFetchAnswer(failed, encodeCursor(starts.map(cursorEntry), checksum));
    const { maxBytes } = boundFetch({ maxBytes: request.maxBytes, minBytes: 1, maxWaitMs: 0 }, undefined, bounds);
    const { defaultMs, minMs, maxMs } = heartbeatBounds;
    const heartbeatMs = Math.min(maxMs, Math.max(minMs, request.heartbeatMs || defaultMs));
    const maxAgeMs = Math.min(maxAgeMaxMs, request.maxAgeMs || maxAgeMaxMs);
    const context = { listener, acceptedCodecs: request.acceptedCodecs, holder: call.connection };
    const signals = [call.signal, call.draining];
    const giveUp = (): void => call.giveUp?.(notTaken());
    const rest = { fetcher, checksum, clock, signals, onSent, context, giveUp };
    yield* runSubscription({ ...rest, starts, maxBytes, heartbeatMs, maxAgeMs });
  }

  #partitionsOf(topic: string, failed: PartitionAnswer[]): TopicPartitionName[] {
    try {
      return this.#options.image.partitions(this.#topicIdOf(topic)).map(({ partition }) => ({ topic, partition }));
    } catch (error) {
      if (!isDomainError(error)) throw error;
      failed.push(failedAnswer(askOf({ target: { topic, partition: 0 }, nextOffset: 0 }), error));
      return [];
    }
  }

  #topicIdOf(topic: string): TopicId {
    this.#options.assertServing();
    return locateTopic(this.#options.image, topic).topicId;
  }

  #knownPlaces(cursor: Uint8Array): Map<string, CursorEntry> {
    const entries = cursor.length === 0 ? [] : decodeCursor(cursor, this.#options.checksum);
    return new Map(entries.map((entry) => [placeOf(entry), entry]));
  }

  /** Where each partition begins. What cannot be found out is added to `failed`. */
  async #startsOf(
    wanted: readonly { readonly target: TopicPartitionName; readonly start: Position }[],
    known: ReadonlyMap<string, CursorEntry>,
    failed: PartitionAnswer[],
  ): Promise<SubscriptionStart[]> {
    const starts: SubscriptionStart[] = [];
    const seen = new Set<string>();
    for (const { target, start } of wanted) {
      const key = keyOf(target);
      if (seen.has(key)) throw new DomainError('INVALID_REQUEST', `${target.topic}-${target.partition} is named twice`);
      seen.add(key);
      try {
        const topicId = this.#topicIdOf(target.topic);
        const place = known.get(placeOf({ topicId, partition: target.partition }));
        const nextOffset = place?.nextOffset ?? (await this.#offsetOf(target, start));
        starts.push({ target, topicId, nextOffset });
      } catch (error) {
        if (!isDomainError(error)) throw error;
        failed.push(failedAnswer(askOf({ target, nextOffset: 0 }), error));
      }
    }
    return starts;
  }

  async #offsetOf(target: TopicPartitionName, start: Position): Promise<number> {
    if (start.kind === 'offset') return start.offset;
    return (await this.#options.fetcher.locate(target, start, this.#options.listener)).offset;
  }
}

function askOf({ target, nextOffset }: Omit<SubscriptionStart, 'topicId'>): FetchPartitionAsk {
  return { target, fetchOffset: nextOffset, maxBytes: 0, leaderEpoch: 0 };
}

function keyOf({ topic, partition }: TopicPartitionName): string {
  return `${topic}\n${partition}`;
}

/** Of the topic's id: a topic that was made anew under its name is another one. */
function placeOf({ topicId, partition }: Omit<CursorEntry, 'nextOffset'>): string {
  return `${topicId}:${partition}`;
}
