/**
 * The messages of one link: reads what a feed sends next from its log, and puts the leader's knowledge around it. One at a time,
 * for the numbers rise in the order in which the messages go.
 *
 * The world may move while the disk is read: what no longer follows the feed's place is not sent. A disk that fails to read
 * pauses the feed and is the replica's to judge.
 */
import type { ReadAnswer } from '@fleetmq/log';
import { isDomainError } from '@fleetmq/shared';
import type { RawMessage } from '@fleetmq/shared/runtime';
import { encodeReplicate } from '../wire/replicate.ts';
import type { Alarm } from './alarm.ts';
import type { Feed, FeedPart } from './feed.ts';
import type { ReplicatorOptions } from './link-options.ts';
import type { SendTurns } from './send-turns.ts';

interface MessageParts {
  readonly turns: SendTurns;
  readonly ticker: Pick<Alarm, 'at'>;
  /** Nothing was sent, but the feed has to have another turn. */
  readonly again: (feed: Feed) => void;
}

const nothing: Uint8Array = new Uint8Array(0);

export class FeedMessages {
  readonly #followerId: number;
  readonly #options: ReplicatorOptions;
  readonly #parts: MessageParts;
  /** Batch bytes and messages since the start. */
  readonly sent = { bytes: 0, messages: 0 };
  #nextCorrelationId = 1;

  constructor(followerId: number, options: ReplicatorOptions, parts: MessageParts) {
    this.#followerId = followerId;
    this.#options = options;
    this.#parts = parts;
  }

  /** Of the next message: all that were sent have lower ones. */
  get nextCorrelationId(): number {
    return this.#nextCorrelationId;
  }

  /** Reads and encodes what this feed sends next; undefined when there is nothing, or no longer. */
  async next(feed: Feed): Promise<RawMessage | undefined> {
    const { replica, progress } = feed;
    const { limits } = this.#options;
    const log = replica.log;
    if (log === undefined || !feed.isCurrent) return undefined;
    if (!feed.hasWork(this.#options.clock.monotonicMs())) return undefined;
    if (progress.nextOffset < log.startOffset) {
      this.#parts.turns.adjust(feed, -progress.inFlightBytes);
      progress.onLogStartPassed(log.startOffset, this.#nextCorrelationId);
    }
    const next = feed.next(log, this.#parts.turns.messageBytes(feed, limits.messageBytes));
    let read: ReadAnswer = { bytes: nothing, baseOffset: next.from, nextOffset: next.from };
    if (next.request !== undefined) {
      // Before the read, for a full disk may undo it while it is being read.
      replica.onExposed(next.request.upTo);
      try {
        read = await log.read(next.request);
      } catch (error) {
        return this.#onReadFailure(feed, error);
      }
      if (!feed.isStillAt(next)) {
        this.#parts.again(feed);
        return undefined;
      }
    }
    const { bytes, baseOffset, nextOffset, lease } = read;
    const pieces = this.#encode(feed, { bytes, baseOffset, nextOffset, reset: next.reset });
    return pieces && { pieces, release: () => lease?.release() };
  }

  #encode(feed: Feed, part: FeedPart): Uint8Array[] | undefined {
    const { replica, leaderEpoch } = feed;
    const log = replica.log;
    if (log === undefined) return undefined;
    const correlationId = this.#nextCorrelationId++;
    const message = encodeReplicate({
      clusterId: this.#options.clusterId(),
      leaderId: this.#options.localId,
      leaderBrokerEpoch: this.#options.brokerEpoch(),
      targetId: this.#followerId,
      topicId: replica.topicId,
      partition: replica.partition,
      leaderEpoch,
      baseOffset: part.baseOffset,
      previousEpoch: feed.previousEpoch(log, part),
      batches: part.bytes,
      highWatermark: replica.state.highWatermark,
      logStartOffset: log.startOffset,
      correlationId,
      reset: part.reset,
      leaderEndOffset: log.endOffset,
      mayRebuild: replica.state.leader?.mayRebuild(this.#followerId) === true,
    });
    feed.sent(log, part, correlationId);
    this.#parts.turns.sent(feed, part.bytes.length);
    this.sent.bytes += part.bytes.length;
    this.sent.messages++;
    return message;
  }

  /** The log start has moved past the place, or the disk fails to read: the first is a reset, the second a pause. */
  #onReadFailure(feed: Feed, error: unknown): undefined {
    if (!isDomainError(error)) throw error;
    if (error.code === 'OFFSET_OUT_OF_RANGE') {
      this.#parts.again(feed);
      return undefined;
    }
    const fields = { partition: feed.replica.name, code: error.code, reason: error.message };
    this.#options.logger.warn(fields, 'the log cannot be read for a follower');
    feed.progress.pause(this.#options.clock.monotonicMs() + this.#options.limits.retry.maxMs);
    this.#parts.ticker.at(feed.progress.pausedUntilMs);
    feed.replica.onReadFailure(error);
    return undefined;
  }
}
