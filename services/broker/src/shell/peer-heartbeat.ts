/**
 * Whether the broker at the other end of a stream is there: while nothing comes from it, it is asked, once per period; one
 * that does not answer in time is silent. So a link that is cut without a word is noticed within `heartbeatMs` +
 * `heartbeatTimeoutMs`, also when there is nothing to replicate.
 *
 * One timer, and one question at a time. What comes on the stream counts as an answer, so a busy link asks nothing.
 */
import { type Clock, DomainError, isDomainError, type Timer, type Timers } from '@fleetmq/shared';

export interface HeartbeatLimits {
  /** A broker that has said nothing for so long is asked. Default 1 s. */
  readonly heartbeatMs: number;
  /** It has so long to answer. Default 2 s. */
  readonly heartbeatTimeoutMs: number;
}

export interface PeerHeartbeatOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly limits: HeartbeatLimits;
  /** Asks the broker; rejects when it does not answer, or not as the one that it should be. */
  readonly ask: (signal: AbortSignal) => Promise<void>;
  /** Nothing was heard since it was asked. The watch is over then. */
  readonly onSilent: (reason: DomainError) => void;
}

export class PeerHeartbeat {
  readonly #options: PeerHeartbeatOptions;
  #heardAtMs = 0;
  #timer: Timer | undefined;
  #asking: AbortController | undefined;

  constructor(options: PeerHeartbeatOptions) {
    this.#options = options;
  }

  /** When something came from the broker; never longer ago than silence is borne, for it is this process that may have stood still. */
  get heardAtMs(): number {
    const { clock, limits } = this.#options;
    return Math.max(this.#heardAtMs, clock.monotonicMs() - limits.heartbeatMs - limits.heartbeatTimeoutMs);
  }

  /** A stream to the broker is being opened. */
  start(): void {
    this.heard();
    this.#askIn(this.#options.limits.heartbeatMs);
  }

  /** Something came from the broker. */
  heard(): void {
    this.#heardAtMs = this.#options.clock.monotonicMs();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#asking?.abort(new DomainError('CANCELLED', 'the stream to the follower has ended'));
    this.#asking = undefined;
  }

  #askIn(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#options.timers.after(delayMs, () => this.#look());
  }

  #look(): void {
    const { clock, limits } = this.#options;
    const leftMs = this.#heardAtMs + limits.heartbeatMs - clock.monotonicMs();
    if (leftMs > 0) this.#askIn(leftMs);
    else void this.#ask();
  }

  async #ask(): Promise<void> {
    const { clock, timers, limits, ask, onSilent } = this.#options;
    const askedAtMs = clock.monotonicMs();
    const asking = new AbortController();
    this.#asking = asking;
    this.#timer = timers.after(limits.heartbeatTimeoutMs, () => {
      asking.abort(new DomainError('TIMEOUT', `no heartbeat was answered within ${limits.heartbeatTimeoutMs} ms`));
    });
    try {
      await ask(asking.signal);
      if (this.#asking === asking) this.heard();
    } catch (error) {
      if (!isDomainError(error)) throw error;
      if (this.#asking !== asking) return;
      if (this.#heardAtMs <= askedAtMs) {
        this.stop();
        onSilent(error);
      }
    }
    if (this.#asking === asking) this.#askIn(limits.heartbeatMs);
  }
}
