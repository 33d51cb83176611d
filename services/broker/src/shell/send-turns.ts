/**
 * Whose turn it is on a link: the feeds that have something to send, each at most once, so that no partition starves another.
 * Feeds of in-sync followers go first, for acknowledgments wait for them; those that catch up have a window of their own, so
 * that what they have under way does not stand before the others, and keep to the throttles.
 *
 * Invariant: `inFlightBytes` of a lane is the sum over its feeds. A feed that gets in sync changes the lane, and is held up by no
 * throttle any more.
 */
import type { CatchUpThrottles } from './catch-up-throttles.ts';
import type { Feed } from './feed.ts';

export interface TurnLimits {
  /** Unanswered batch bytes of one link, for in-sync followers. Default 16 MiB. */
  readonly linkWindowBytes: number;
  /** The same for followers that catch up. Default 4 MiB. */
  readonly catchUpWindowBytes: number;
}

interface Lane {
  ready: Feed[];
  inFlightBytes: number;
}

export class SendTurns {
  readonly #followerId: number;
  readonly #limits: TurnLimits;
  readonly #throttles: CatchUpThrottles;
  readonly #inSync: Lane = { ready: [], inFlightBytes: 0 };
  readonly #catchUp: Lane = { ready: [], inFlightBytes: 0 };

  constructor(followerId: number, limits: TurnLimits, throttles: CatchUpThrottles) {
    this.#followerId = followerId;
    this.#limits = limits;
    this.#throttles = throttles;
  }

  /** Whether a feed waits for its turn. */
  get isWaiting(): boolean {
    return this.#inSync.ready.length > 0 || this.#catchUp.ready.length > 0;
  }

  /** The feed has something to send. False: it waits already. */
  add(feed: Feed): boolean {
    if (feed.isReady) {
      if (feed.isCatchUp) this.#settle(feed);
      return false;
    }
    this.#settle(feed);
    feed.isReady = true;
    this.#laneOf(feed).ready.push(feed);
    return true;
  }

  /** Whose turn it is; undefined: nobody's, as long as the windows and throttles stand as they do. */
  next(nowMs: number): Feed | undefined {
    const feed = this.#nextInSync() ?? this.#nextCatchUp(nowMs);
    if (feed !== undefined) feed.isReady = false;
    return feed;
  }

  /** Whether a throttle alone holds feeds up: then they are to be looked at again soon. */
  get isThrottled(): boolean {
    return this.#catchUp.ready.length > 0 && this.#catchUp.inFlightBytes < this.#limits.catchUpWindowBytes;
  }

  /** Feeds whose follower has come into sync while a throttle held them up are held up no more. */
  settle(): void {
    for (const feed of this.#catchUp.ready.filter(({ isInSync }) => isInSync)) this.#settle(feed);
  }

  /** Batch bytes of the next message at most. */
  messageBytes(feed: Feed, bytesMax: number): number {
    return feed.isCatchUp ? this.#throttles.messageBytes(feed.replica, this.#followerId, bytesMax) : bytesMax;
  }

  /** A message went out. */
  sent(feed: Feed, bytes: number): void {
    this.#laneOf(feed).inFlightBytes += bytes;
    if (feed.isCatchUp && bytes > 0) this.#throttles.spend(feed.replica, this.#followerId, bytes);
  }

  /** What this feed has in flight has changed by so much, other than by sending. */
  adjust(feed: Feed, bytes: number): void {
    this.#laneOf(feed).inFlightBytes += bytes;
  }

  /** Nothing is in flight any more. */
  forgetInFlight(): void {
    this.#inSync.inFlightBytes = 0;
    this.#catchUp.inFlightBytes = 0;
  }

  #nextInSync(): Feed | undefined {
    const { ready, inFlightBytes } = this.#inSync;
    return inFlightBytes < this.#limits.linkWindowBytes ? ready.shift() : undefined;
  }

  #nextCatchUp(nowMs: number): Feed | undefined {
    const { ready } = this.#catchUp;
    if (!this.isThrottled || !this.#throttles.isOpen(nowMs)) return undefined;
    const position = ready.findIndex(({ replica }) => this.#throttles.isOpenFor(replica, this.#followerId, nowMs));
    return position < 0 ? undefined : ready.splice(position, 1)[0];
  }

  #laneOf({ isCatchUp }: Feed): Lane {
    return isCatchUp ? this.#catchUp : this.#inSync;
  }

  /** Puts the feed into the lane in which it belongs now. */
  #settle(feed: Feed): void {
    const isCatchUp = !feed.isInSync;
    if (feed.isCatchUp === isCatchUp) return;
    const { inFlightBytes } = feed.progress;
    const before = this.#laneOf(feed);
    before.inFlightBytes -= inFlightBytes;
    feed.isCatchUp = isCatchUp;
    const after = this.#laneOf(feed);
    after.inFlightBytes += inFlightBytes;
    if (!feed.isReady) return;
    before.ready.splice(before.ready.indexOf(feed), 1);
    after.ready.push(feed);
  }
}
