/**
 * One follower broker as this leader sees it: one ReplicateStream, and for each partition a feed with its place in the
 * follower's log (domain/progress.ts). One loop reads from the logs and sends, another takes the answers.
 *
 * Feeds that have something to send stand in a ready queue, each at most once, so that no partition starves another. Bytes
 * that wait are bounded by the windows of the feeds, by the link's own window, and by the transport's send buffer.
 * A lost stream costs nothing but time: the feeds probe again, and the stream is opened anew with a backoff.
 */

import { BrokerReplicationService } from '@fleetmq/gen/broker/replication';
import { FrameCursor } from '@fleetmq/record';
import {
  backoffMs,
  type Clock,
  DomainError,
  isDomainError,
  type Lease,
  type Logger,
  type Offset,
  type Random,
  type Timers,
} from '@fleetmq/shared';
import type { LaneTransport, RawBidiCall, RawMessage } from '@fleetmq/shared/runtime';
import { unconfirmed } from '../domain/high-watermark.ts';
import { Progress, type ProgressLimits } from '../domain/progress.ts';
import { decodeReplicateAnswer, encodeReplicate, type ReplicateAnswer } from '../wire/replicate.ts';
import { leaderView } from './log-view.ts';
import type { Replica } from './replica.ts';
import { Wakeup } from './wakeup.ts';

export interface LinkLimits extends ProgressLimits {
  /** Batch bytes of one message. Default 1 MiB; a single batch may be larger. */
  readonly messageBytes: number;
  /** Unanswered batch bytes of one link. Default 16 MiB. */
  readonly linkWindowBytes: number;
  /** How often watermarks are sent that moved without data, and pauses are looked at. Default 50 ms. */
  readonly tickMs: number;
  /** Between two attempts to open a stream. Default 50 ms to 2 s. */
  readonly reconnect: { readonly baseMs: number; readonly maxMs: number };
  /** Before a feed that was refused is tried again. Default 100 ms to 5 s. */
  readonly retry: { readonly baseMs: number; readonly maxMs: number };
}

export const defaultLinkLimits: LinkLimits = {
  windowBytes: 4 * 1024 * 1024,
  windowMessages: 64,
  messageBytes: 1024 * 1024,
  linkWindowBytes: 16 * 1024 * 1024,
  tickMs: 50,
  reconnect: { baseMs: 50, maxMs: 2_000 },
  retry: { baseMs: 100, maxMs: 5_000 },
};

interface Feed {
  readonly replica: Replica;
  readonly progress: Progress;
  /** Epoch that the feed was made for: another one begins anew. */
  readonly leaderEpoch: number;
  isReady: boolean;
  isRemoved: boolean;
}

/** Where a follower is reached, and under which registration. */
export interface FollowerAddress {
  readonly url: string;
  readonly brokerEpoch: number;
}

export interface ReplicatorOptions {
  readonly localId: number;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  readonly limits: LinkLimits;
  readonly clusterId: () => string;
  /** Own registration. */
  readonly brokerEpoch: () => number;
  /** Undefined while it is not known where the broker is. */
  readonly addressOf: (brokerId: number) => FollowerAddress | undefined;
  readonly transportOf: (url: string) => LaneTransport;
}

export class FollowerLink {
  readonly #brokerId: number;
  readonly #options: ReplicatorOptions;
  readonly #feeds = new Map<Replica, Feed>();
  readonly #byPlace = new Map<string, Feed>();
  #ready: Feed[] = [];
  readonly #wakeup = new Wakeup();
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #call: RawBidiCall | undefined;
  #endPause: (() => void) | undefined;
  #brokerEpoch = 0;
  #inFlightBytes = 0;
  #nextCorrelationId = 1;
  sentBytes = 0;
  sentMessages = 0;

  constructor(brokerId: number, options: ReplicatorOptions) {
    this.#brokerId = brokerId;
    this.#options = options;
  }

  get isEmpty(): boolean {
    return this.#feeds.size === 0;
  }

  /** Feeds this partition; one of an older leader epoch begins anew. */
  add(replica: Replica): void {
    const { leader } = replica.state;
    const log = replica.log;
    if (leader === undefined || log === undefined) return;
    const known = this.#feeds.get(replica);
    if (known !== undefined && known.leaderEpoch === leader.leaderEpoch) {
      this.#markReady(known);
      return;
    }
    this.remove(replica);
    const progress = new Progress(log.endOffset, this.#options.limits);
    const feed: Feed = { replica, progress, leaderEpoch: leader.leaderEpoch, isReady: false, isRemoved: false };
    this.#feeds.set(replica, feed);
    this.#byPlace.set(placeOf(replica), feed);
    this.#markReady(feed);
    this.#running ??= this.#run();
  }

  remove(replica: Replica): void {
    const feed = this.#feeds.get(replica);
    if (feed === undefined) return;
    feed.isRemoved = true;
    this.#inFlightBytes -= feed.progress.inFlightBytes;
    this.#feeds.delete(replica);
    if (this.#byPlace.get(placeOf(replica)) === feed) this.#byPlace.delete(placeOf(replica));
  }

  /** There may be something to send for this partition. Watermarks alone wait for the tick. */
  notify(replica: Replica): void {
    const feed = this.#feeds.get(replica);
    if (feed === undefined || feed.isReady) return;
    const { progress } = feed;
    if (progress.state === 'probe' || progress.nextOffset < replica.sendableEnd) this.#markReady(feed);
  }

  /** Looks at everything that waits for time to pass. */
  tick(): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const feed of this.#feeds.values()) if (!feed.isReady && this.#hasWork(feed, nowMs)) this.#markReady(feed);
  }

  /** The follower has registered anew, or something else about it changed: a link that waits tries at once. */
  onBrokerChanged(): void {
    const epoch = this.#options.addressOf(this.#brokerId)?.brokerEpoch ?? 0;
    if (epoch !== this.#brokerEpoch) this.#call?.close();
    this.#endPause?.();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new DomainError('SHUTTING_DOWN', 'replication stops'));
    this.#call?.close();
    this.#endPause?.();
    await this.#running;
  }

  #markReady(feed: Feed): void {
    if (feed.isReady) return;
    feed.isReady = true;
    this.#ready.push(feed);
    if (this.#call !== undefined) this.#wakeup.set();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    for (let attempt = 1; !signal.aborted; attempt++) {
      const address = this.#options.addressOf(this.#brokerId);
      if (address !== undefined && (await this.#stream(address))) attempt = 0;
      if (signal.aborted) return;
      await this.#pause(Math.max(1, attempt));
    }
  }

  /** One stream, from its opening to its end. Whether the follower has answered anything. */
  async #stream(address: FollowerAddress): Promise<boolean> {
    const { logger, transportOf } = this.#options;
    this.#brokerEpoch = address.brokerEpoch;
    this.#realignAll();
    let answers = 0;
    const call = transportOf(address.url).rawBidi(BrokerReplicationService.method.replicateStream, {
      signal: this.#stopping.signal,
    });
    this.#call = call;
    const sending = this.#sendAll(call);
    try {
      for await (const bytes of call.responses) {
        answers++;
        this.#onAnswer(decodeReplicateAnswer(bytes));
      }
    } catch (error) {
      if (!isDomainError(error)) throw error;
      if (!this.#stopping.signal.aborted) {
        const fields = { follower: this.#brokerId, url: address.url, code: error.code, reason: error.message };
        logger.debug(fields, 'the stream to a follower has ended');
      }
    } finally {
      this.#call = undefined;
      call.close();
      this.#wakeup.set();
      await sending;
    }
    return answers > 0;
  }

  async #sendAll(call: RawBidiCall): Promise<void> {
    try {
      while (this.#call === call) {
        const feed = this.#inFlightBytes < this.#options.limits.linkWindowBytes ? this.#ready.shift() : undefined;
        if (feed === undefined) {
          await this.#wakeup.wait();
          continue;
        }
        feed.isReady = false;
        if (feed.isRemoved) continue;
        const message = await this.#nextMessage(feed);
        if (message === undefined || this.#call !== call) continue;
        if (!call.send(message)) await call.drained();
        if (this.#hasWork(feed, this.#options.clock.monotonicMs())) this.#markReady(feed);
      }
    } catch (error) {
      // The error of the call itself: the loop of the answers sees it, too, and ends the stream.
      if (!isDomainError(error)) throw error;
    }
  }

  #hasWork(feed: Feed, nowMs: number): boolean {
    const { progress, replica } = feed;
    if (!progress.maySend(nowMs)) return false;
    const startOffset = replica.log?.startOffset ?? 0;
    const { highWatermark } = replica.state;
    return progress.wantsToSend({ sendableEnd: replica.sendableEnd, highWatermark, startOffset });
  }

  /** Reads and encodes what this feed sends next; undefined when there is nothing, or no longer. */
  async #nextMessage(feed: Feed): Promise<RawMessage | undefined> {
    const { replica, progress } = feed;
    const { limits } = this.#options;
    const log = replica.log;
    if (log === undefined || !this.#isCurrent(feed)) return undefined;
    if (!this.#hasWork(feed, this.#options.clock.monotonicMs())) return undefined;
    if (progress.nextOffset < log.startOffset) {
      this.#inFlightBytes -= progress.inFlightBytes;
      progress.onLogStartPassed(log.startOffset, this.#nextCorrelationId);
    }
    const wasReset = progress.needsReset;
    const from = wasReset ? log.startOffset : progress.nextOffset;
    const upTo = Math.max(from, replica.sendableEnd);
    const room = Math.min(progress.roomBytes, limits.messageBytes);
    let batches = nothing;
    let baseOffset = from;
    let endOffset = from;
    let lease: Lease | undefined;
    if (room > 0 && from < upTo) {
      try {
        const read = await log.read({ from: from as Offset, upTo: upTo as Offset, maxBytes: room });
        ({ bytes: batches, lease } = read);
        baseOffset = read.baseOffset;
        endOffset = read.nextOffset;
      } catch (error) {
        return this.#onReadFailure(feed, error);
      }
      // The world may have moved while the disk was read.
      const stillThere = wasReset === progress.needsReset && (wasReset || progress.nextOffset === from);
      if (!this.#isCurrent(feed) || !stillThere) {
        this.#markReady(feed);
        return undefined;
      }
    }
    const pieces = this.#encode(feed, { batches, baseOffset, endOffset, reset: wasReset });
    return pieces && { pieces, release: () => lease?.release() };
  }

  #encode(
    feed: Feed,
    part: {
      readonly batches: Uint8Array;
      readonly baseOffset: number;
      readonly endOffset: number;
      readonly reset: boolean;
    },
  ): Uint8Array[] | undefined {
    const { replica, progress, leaderEpoch } = feed;
    const log = replica.log;
    if (log === undefined) return undefined;
    const { batches, baseOffset, endOffset } = part;
    const correlationId = this.#nextCorrelationId++;
    const { highWatermark } = replica.state;
    const previousEpoch = part.reset ? 0 : progress.previousEpoch(leaderView(log, replica.sendableEnd));
    const message = encodeReplicate({
      clusterId: this.#options.clusterId(),
      leaderId: this.#options.localId,
      leaderBrokerEpoch: this.#options.brokerEpoch(),
      targetId: this.#brokerId,
      topicId: replica.topicId,
      partition: replica.partition,
      leaderEpoch,
      baseOffset,
      previousEpoch,
      batches,
      highWatermark,
      logStartOffset: log.startOffset,
      correlationId,
      reset: part.reset,
      leaderEndOffset: log.endOffset,
    });
    const lastEpoch = lastEpochOf(batches);
    const { startOffset } = log;
    progress.onSent({ correlationId, bytes: batches.length, endOffset, highWatermark, startOffset, lastEpoch });
    this.#inFlightBytes += batches.length;
    this.sentBytes += batches.length;
    this.sentMessages++;
    return message;
  }

  /** The log start has moved past the place, or the disk fails to read: the first is a reset, the second a pause. */
  #onReadFailure(feed: Feed, error: unknown): undefined {
    if (!isDomainError(error)) throw error;
    if (error.code === 'OFFSET_OUT_OF_RANGE') {
      this.#markReady(feed);
      return undefined;
    }
    const fields = { partition: feed.replica.name, code: error.code, reason: error.message };
    this.#options.logger.warn(fields, 'the log cannot be read for a follower');
    feed.progress.pause(this.#options.clock.monotonicMs() + this.#options.limits.retry.maxMs);
    feed.replica.onReadFailure(error);
    return undefined;
  }

  #onAnswer(answer: ReplicateAnswer): void {
    const feed = this.#byPlace.get(`${answer.topicId}:${answer.partition}`);
    if (feed === undefined || !this.#isCurrent(feed)) return;
    const { replica, progress } = feed;
    const log = replica.log;
    if (log === undefined) return;
    const before = progress.inFlightBytes;
    const nowMs = this.#options.clock.monotonicMs();
    if (answer.errorCode !== undefined) this.#onRefusal(feed, answer, nowMs);
    else if (answer.diverged) {
      const follower = { epoch: answer.divergingEpoch, endOffset: answer.divergingEndOffset };
      const view = leaderView(log, replica.sendableEnd);
      progress.onDiverged(answer.correlationId, follower, view, nowMs + this.#retryDelay(feed));
    } else if (progress.onMatch(answer.correlationId) && this.#isOfThisLife(answer)) {
      const { durableEndOffset: end, brokerEpoch } = answer;
      const startOffset = Math.min(progress.answeredStartOffset, end);
      replica.onFollowerDurable(this.#brokerId, { end, startOffset, brokerEpoch });
    }
    this.#inFlightBytes += progress.inFlightBytes - before;
    // Room in the link's window lets other feeds go on as well.
    if (this.#isCurrent(feed) && this.#hasWork(feed, nowMs)) this.#markReady(feed);
    else if (this.#ready.length > 0) this.#wakeup.set();
  }

  /** What a follower has confirmed in an earlier life counts nothing (P14). */
  #isOfThisLife(answer: ReplicateAnswer): boolean {
    return answer.brokerEpoch >= (this.#options.addressOf(this.#brokerId)?.brokerEpoch ?? 0);
  }

  #onRefusal(feed: Feed, answer: ReplicateAnswer, nowMs: number): void {
    const { progress, replica } = feed;
    const confirmed = replica.state.leader?.durableEndOf(this.#brokerId) ?? unconfirmed;
    const place = confirmed === unconfirmed ? (replica.log?.endOffset ?? 0) : confirmed;
    if (!progress.onRefused(answer.correlationId, place, nowMs + this.#retryDelay(feed))) return;
    const { failures } = progress;
    if (failures > 1 && (failures & (failures - 1)) !== 0) return;
    const fields = { follower: this.#brokerId, partition: replica.name, code: answer.errorCode, failures };
    this.#options.logger.warn({ ...fields, reason: answer.errorMessage }, 'a follower refuses replication');
  }

  #retryDelay(feed: Feed): number {
    return backoffMs(feed.progress.failures + 1, this.#options.limits.retry, this.#options.random);
  }

  #isCurrent(feed: Feed): boolean {
    return !feed.isRemoved && feed.replica.state.leader?.leaderEpoch === feed.leaderEpoch;
  }

  /** What was in flight on the old stream may or may not have arrived. */
  #realignAll(): void {
    for (const feed of this.#feeds.values()) {
      const { replica, progress } = feed;
      const confirmed = replica.state.leader?.durableEndOf(this.#brokerId) ?? unconfirmed;
      const place = confirmed === unconfirmed ? (replica.log?.endOffset ?? 0) : confirmed;
      progress.onDisconnected(place, this.#nextCorrelationId);
      this.#markReady(feed);
    }
    this.#inFlightBytes = 0;
  }

  async #pause(attempt: number): Promise<void> {
    const { timers, limits, random } = this.#options;
    const delayMs = backoffMs(attempt, limits.reconnect, random);
    await new Promise<void>((resolve) => {
      const timer = timers.after(delayMs, () => this.#endPause?.());
      this.#endPause = () => {
        this.#endPause = undefined;
        timer.cancel();
        resolve();
      };
    });
  }
}

const nothing: Uint8Array = new Uint8Array(0);

function placeOf(replica: Replica): string {
  return `${replica.topicId}:${replica.partition}`;
}

function lastEpochOf(batches: Uint8Array): number {
  const cursor = new FrameCursor(batches);
  let epoch = 0;
  while (cursor.next() === 'frame') epoch = cursor.trailer.leaderEpoch;
  return epoch;
}
