/**
 * One follower broker as this leader sees it: one ReplicateStream, and for each partition a feed (feed.ts). One loop reads
 * from the logs and sends, another takes the answers.
 *
 * Feeds that have something to send take turns (send-turns.ts). Bytes that wait are bounded by the windows of the feeds, by
 * those of the link, and by the transport's send buffer.
 * A lost stream costs nothing but time: the feeds probe again, and the stream is opened anew with a backoff. Meanwhile, and
 * until the next answer, the follower is silent: it does not count as caught up. A stream on which nothing comes, not even
 * an answer to a heartbeat, is lost (peer-heartbeat.ts).
 */
import { BrokerReplicationService } from '@fleetmq/gen/broker/replication';
import { backoffMs, DomainError, isDomainError } from '@fleetmq/shared';
import type { RawBidiCall } from '@fleetmq/shared/runtime';
import { decodeReplicateAnswer, type ReplicateAnswer } from '../wire/replicate.ts';
import type { Alarm } from './alarm.ts';
import { askPeer } from './ask-peer.ts';
import type { CatchUpThrottles } from './catch-up-throttles.ts';
import { Feed } from './feed.ts';
import { FeedAnswers } from './feed-answers.ts';
import { FeedMessages } from './feed-messages.ts';
import type { FollowerAddress, ReplicatorOptions } from './link-options.ts';
import { PeerHeartbeat } from './peer-heartbeat.ts';
import type { Replica } from './replica.ts';
import { SendTurns } from './send-turns.ts';
import { Wakeup } from './wakeup.ts';

/** What the links of a broker share. */
export interface LinkParts {
  /** Is set when something waits for time to pass, and calls `tick` then. */
  readonly ticker: Pick<Alarm, 'at' | 'within'>;
  readonly throttles: CatchUpThrottles;
}

export class FollowerLink {
  readonly #brokerId: number;
  readonly #options: ReplicatorOptions;
  readonly #ticker: Pick<Alarm, 'at' | 'within'>;
  readonly #feeds = new Map<Replica, Feed>();
  readonly #byPlace = new Map<string, Feed>();
  readonly #turns: SendTurns;
  readonly #wakeup = new Wakeup();
  readonly #stopping = new AbortController();
  readonly #messages: FeedMessages;
  readonly #answers: FeedAnswers;
  readonly #heartbeat: PeerHeartbeat;
  #running: Promise<void> | undefined;
  #call: RawBidiCall | undefined;
  #endPause: (() => void) | undefined;
  #brokerEpoch = 0;
  #isSilent = false;

  constructor(brokerId: number, options: ReplicatorOptions, { ticker, throttles }: LinkParts) {
    this.#brokerId = brokerId;
    this.#options = options;
    this.#ticker = ticker;
    this.#turns = new SendTurns(brokerId, options.limits, throttles);
    this.#messages = new FeedMessages(brokerId, options, {
      ...{ ticker, turns: this.#turns },
      again: (feed) => this.#markReady(feed),
    });
    this.#answers = new FeedAnswers(options);
    this.#heartbeat = new PeerHeartbeat({
      ...options,
      ask: (signal) => askPeer(options, { brokerId, brokerEpoch: this.#brokerEpoch }, signal),
      onSilent: ({ code, message }) => {
        options.logger.warn(
          { follower: brokerId, code, reason: message },
          'a follower is silent: its stream is given up',
        );
        this.#call?.close();
      },
    });
  }

  /** Batch bytes and messages that were sent since the start. */
  get sent(): { readonly bytes: number; readonly messages: number } {
    return this.#messages.sent;
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
      // Its follower waits for this word.
      if (leader.mayRebuild(this.#brokerId)) known.progress.pause(0);
      this.#markReady(known);
      return;
    }
    this.remove(replica);
    const place = { followerId: this.#brokerId, leaderEpoch: leader.leaderEpoch, endOffset: log.endOffset };
    const feed = new Feed(replica, place, this.#options.limits);
    if (this.#isSilent) replica.onFollowerSilent(this.#brokerId, this.#heartbeat.heardAtMs);
    this.#feeds.set(replica, feed);
    this.#byPlace.set(placeOf(replica), feed);
    this.#markReady(feed);
    this.#running ??= this.#run();
  }

  remove(replica: Replica): void {
    const feed = this.#feeds.get(replica);
    if (feed === undefined) return;
    feed.isRemoved = true;
    this.#turns.adjust(feed, -feed.progress.inFlightBytes);
    this.#feeds.delete(replica);
    if (this.#byPlace.get(placeOf(replica)) === feed) this.#byPlace.delete(placeOf(replica));
  }

  /** There may be something to send for this partition. Watermarks alone wait for the tick. */
  notify(replica: Replica): void {
    const feed = this.#feeds.get(replica);
    if (feed === undefined || (feed.isReady && !feed.isCatchUp)) return;
    const { progress } = feed;
    if (progress.state === 'probe' || progress.nextOffset < replica.sendableEnd) this.#markReady(feed);
    else this.#ticker.within(this.#options.limits.tickMs);
  }

  /** What the follower has of this partition's log, in bytes. */
  copiedBytesOf(replica: Replica): number {
    return this.#feeds.get(replica)?.copiedBytes ?? 0;
  }

  /** Looks at everything that waits for time to pass; when the next pause is over, infinity: there is none. */
  tick(nowMs: number): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const feed of this.#feeds.values()) {
      const { pausedUntilMs } = feed.progress;
      if (pausedUntilMs > nowMs) nextMs = Math.min(nextMs, pausedUntilMs);
      else if (!feed.isReady && feed.hasWork(nowMs)) this.#markReady(feed);
    }
    if (this.#call === undefined || !this.#turns.isThrottled) return nextMs;
    this.#turns.settle();
    this.#wakeup.set();
    return Math.min(nextMs, nowMs + this.#options.limits.tickMs);
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
    if (this.#turns.add(feed) && this.#call !== undefined) this.#wakeup.set();
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
    this.#heartbeat.start();
    const sending = this.#sendAll(call);
    try {
      for await (const bytes of call.responses) {
        answers++;
        this.#onHeard();
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
      this.#heartbeat.stop();
      this.#onSilent();
      this.#wakeup.set();
      await sending;
    }
    return answers > 0;
  }

  async #sendAll(call: RawBidiCall): Promise<void> {
    try {
      while (this.#call === call) {
        const feed = this.#turns.next(this.#options.clock.monotonicMs());
        if (feed === undefined) {
          if (this.#turns.isThrottled) this.#ticker.within(this.#options.limits.tickMs);
          await this.#wakeup.wait();
          continue;
        }
        if (feed.isRemoved) continue;
        const message = await this.#messages.next(feed);
        if (message === undefined || this.#call !== call) continue;
        if (!call.send(message)) await call.drained();
        if (feed.hasWork(this.#options.clock.monotonicMs())) this.#markReady(feed);
      }
    } catch (error) {
      // The error of the call itself: the loop of the answers sees it, too, and ends the stream.
      if (!isDomainError(error)) throw error;
    }
  }

  #onAnswer(answer: ReplicateAnswer): void {
    const feed = this.#byPlace.get(`${answer.topicId}:${answer.partition}`);
    if (feed === undefined || !feed.isCurrent) return;
    const { progress } = feed;
    const before = progress.inFlightBytes;
    const nowMs = this.#options.clock.monotonicMs();
    const context = { followerId: this.#brokerId, nowMs, nextCorrelationId: this.#messages.nextCorrelationId };
    this.#answers.take(feed, answer, context);
    this.#turns.adjust(feed, progress.inFlightBytes - before);
    if (progress.pausedUntilMs > nowMs) this.#ticker.at(progress.pausedUntilMs);
    // Room in the link's window lets other feeds go on as well.
    if (feed.isCurrent && feed.hasWork(nowMs)) this.#markReady(feed);
    else if (this.#turns.isWaiting) this.#wakeup.set();
  }

  #onHeard(): void {
    this.#heartbeat.heard();
    if (!this.#isSilent) return;
    this.#isSilent = false;
    for (const replica of this.#feeds.keys()) replica.onFollowerHeard(this.#brokerId);
  }

  #onSilent(): void {
    if (this.#isSilent) return;
    this.#isSilent = true;
    const { heardAtMs } = this.#heartbeat;
    for (const replica of this.#feeds.keys()) replica.onFollowerSilent(this.#brokerId, heardAtMs);
  }

  /** What was in flight on the old stream may or may not have arrived. */
  #realignAll(): void {
    for (const feed of this.#feeds.values()) {
      feed.progress.onDisconnected(feed.likelyPlace, this.#messages.nextCorrelationId);
      this.#markReady(feed);
    }
    this.#turns.forgetInFlight();
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

function placeOf(replica: Replica): string {
  return `${replica.topicId}:${replica.partition}`;
}
