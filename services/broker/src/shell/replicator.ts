/**
 * The leader's side of replication: one link per follower broker, over which all partitions that this broker leads and the
 * other follows are pushed. This file decides which partition is fed over which link; a link (follower-link.ts) moves bytes.
 *
 * A feed exists exactly while this broker leads the partition and the other broker is one of its replicas. Watermarks that
 * moved without new data are sent by a tick, so that a busy partition does not send two messages where one will do. The tick
 * runs only while there may be some, or a feed pauses.
 */
import { Alarm } from './alarm.ts';
import { CatchUpThrottles } from './catch-up-throttles.ts';
import { FollowerLink } from './follower-link.ts';
import type { ReplicatorOptions } from './link-options.ts';
import type { Replica } from './replica.ts';

export class Replicator implements AsyncDisposable {
  readonly #options: ReplicatorOptions;
  readonly #links = new Map<number, FollowerLink>();
  readonly #ticker: Alarm;
  readonly #throttles: CatchUpThrottles;
  #stopped = false;

  constructor(options: ReplicatorOptions) {
    this.#options = options;
    this.#throttles = new CatchUpThrottles(options);
    this.#ticker = new Alarm({ ...options, onRing: (nowMs) => this.#tick(nowMs) });
  }

  /** Bytes of messages that were sent since the start, and how many there were. */
  totals(): { readonly bytes: number; readonly messages: number } {
    let bytes = 0;
    let messages = 0;
    for (const link of this.#links.values()) {
      bytes += link.sent.bytes;
      messages += link.sent.messages;
    }
    return { bytes, messages };
  }

  /** What a follower has of the log of a partition that is led here, in bytes. */
  copiedBytesOf(replica: Replica, brokerId: number): number {
    return this.#links.get(brokerId)?.copiedBytesOf(replica) ?? 0;
  }

  /** The replica's role or its followers may have changed: makes the feeds equal to what they should be. */
  refresh(replica: Replica): void {
    if (this.#stopped) return;
    const wanted = new Set(replica.state.leader?.followerIds ?? []);
    for (const [brokerId, link] of this.#links) if (!wanted.has(brokerId)) link.remove(replica);
    // Links that are empty now go, unless they are needed again at once.
    this.#ticker.within(this.#options.limits.tickMs);
    for (const brokerId of wanted) this.#linkTo(brokerId).add(replica);
  }

  /** There is something new in the replica's log, or its watermark moved. */
  onProgress(replica: Replica): void {
    const { leader } = replica.state;
    if (leader === undefined) return;
    for (const brokerId of leader.followerIds) this.#links.get(brokerId)?.notify(replica);
  }

  /** A broker has registered anew, moved, or come into service. */
  onBrokerChanged(brokerId: number): void {
    this.#links.get(brokerId)?.onBrokerChanged();
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#ticker[Symbol.dispose]();
    await Promise.all([...this.#links.values()].map((link) => link.stop()));
    this.#links.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #linkTo(brokerId: number): FollowerLink {
    let link = this.#links.get(brokerId);
    if (link === undefined) {
      link = new FollowerLink(brokerId, this.#options, { ticker: this.#ticker, throttles: this.#throttles });
      this.#links.set(brokerId, link);
    }
    return link;
  }

  #tick(nowMs: number): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const [brokerId, link] of this.#links) {
      if (link.isEmpty) {
        this.#links.delete(brokerId);
        void link.stop();
      } else nextMs = Math.min(nextMs, link.tick(nowMs));
    }
    return nextMs;
  }
}
