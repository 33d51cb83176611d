/**
 * One Subscribe of given partitions: reads in turns, sends what there is, waits for news, sends a heartbeat when there are
 * none, and ends cleanly at its age or when the server drains. The next answer is read only when the transport has taken the
 * one before, so a reader that does not read costs one answer.
 *
 * The cursor in each answer names the next offset of every partition; it is made only of what was handed out before. A
 * partition that fails (another leader, offset out of range) is reported once and left out; when none is left the stream ends.
 */
import { type CursorEntry, encodeCursor } from '@fleetmq/metadata';
import { type Checksum, type Clock, isDomainError, type TopicId, type TopicPartitionName } from '@fleetmq/shared';
import type { RawMessage } from '@fleetmq/shared/runtime';
import { encodeFetchAnswer, type FetchPartitionAsk, fetchMessage, type PartitionAnswer } from '../wire/fetch.ts';
import type { Fetcher, ReadContext, ReadPass } from './fetcher.ts';

export interface SubscriptionStart {
  readonly target: TopicPartitionName;
  readonly topicId: TopicId;
  readonly nextOffset: number;
}

export interface SubscriptionOptions {
  readonly fetcher: Fetcher;
  readonly checksum: Checksum;
  readonly clock: Clock;
  readonly starts: readonly SubscriptionStart[];
  readonly maxBytes: number;
  readonly heartbeatMs: number;
  readonly maxAgeMs: number;
  readonly context: ReadContext;
  /** The caller's own signal, and that of the server's drain. */
  readonly signals: readonly AbortSignal[];
  readonly onSent: (bytes: number) => void;
  /** Ends the call of a reader that does not read, when its memory is needed. */
  readonly giveUp: () => void;
}

interface Reading extends SubscriptionStart {
  nextOffset: number;
}

/** The answers of the subscription, each as pieces. Bytes of an answer are held until the next one is asked for. */
export async function* runSubscription(options: SubscriptionOptions): AsyncGenerator<RawMessage, void, undefined> {
  const { fetcher, clock, signals } = options;
  const readings = options.starts.map((start): Reading => ({ ...start }));
  const endMs = clock.monotonicMs() + options.maxAgeMs;
  let first = 0;
  let heartbeatMs = 0;
  while (readings.length > 0) {
    // Each pass begins with another partition, so that a full answer starves none.
    first = (first + 1) % readings.length;
    const asks = [...readings.slice(first), ...readings.slice(0, first)].map(askOf);
    const pass = await readPatiently(options, asks, endMs);
    if (pass === undefined) return;
    try {
      const news = pass.answers.filter(({ error, batches }) => error !== undefined || batches.length > 0);
      if (news.length > 0) {
        note(readings, news);
        pass.held.watch(options.giveUp);
        yield fetchMessage(news, cursorOf(readings, options.checksum));
        options.onSent(pass.bytes);
        heartbeatMs = clock.monotonicMs() + options.heartbeatMs;
      }
      if (isOver(clock, endMs, signals)) return;
      if (news.length > 0 || fetcher.hasNews(pass.answers)) continue;
    } finally {
      pass.held.release();
    }
    if (clock.monotonicMs() >= heartbeatMs) {
      yield encodeFetchAnswer([], cursorOf(readings, options.checksum));
      heartbeatMs = clock.monotonicMs() + options.heartbeatMs;
    } else await fetcher.waitForNews(asks, Math.min(endMs, heartbeatMs), signals);
    if (isOver(clock, endMs, signals)) return;
  }
}

/** A pass, or another try a little later while other readers' answers fill the memory; undefined at the end. */
async function readPatiently(
  { fetcher, clock, maxBytes, context, signals }: SubscriptionOptions,
  asks: readonly FetchPartitionAsk[],
  endMs: number,
): Promise<ReadPass | undefined> {
  const refusal = { bytes: 0 };
  for (;;) {
    try {
      return await fetcher.readAll(asks, maxBytes, context, refusal);
    } catch (error) {
      if (!isDomainError(error) || error.code !== 'LIMIT_EXCEEDED') throw error;
      await fetcher.waitForNews([], Math.min(endMs, clock.monotonicMs() + (error.retryAfterMs ?? 100)), signals);
      if (isOver(clock, endMs, signals)) return undefined;
    }
  }
}

function isOver(clock: Clock, endMs: number, signals: readonly AbortSignal[]): boolean {
  return clock.monotonicMs() >= endMs || signals.some(({ aborted }) => aborted);
}

function askOf({ target, nextOffset }: Reading): FetchPartitionAsk {
  return { target, fetchOffset: nextOffset, maxBytes: 0, leaderEpoch: 0 };
}

/** Moves each reading behind its answer; one that failed is left out from now on. */
function note(readings: Reading[], news: readonly PartitionAnswer[]): void {
  for (const answer of news) {
    const index = readings.findIndex(({ target }) => target === answer.target);
    const reading = readings[index];
    if (reading === undefined) continue;
    if (answer.error === undefined) reading.nextOffset = answer.nextOffset;
    else readings.splice(index, 1);
  }
}

function cursorOf(readings: readonly Reading[], checksum: Checksum): Uint8Array {
  return encodeCursor(readings.map(cursorEntry), checksum);
}

/** A place as the cursor names it. */
export function cursorEntry({ target, topicId, nextOffset }: SubscriptionStart): CursorEntry {
  return { topicId, partition: target.partition, nextOffset };
}
