/**
 * The way to the brokers: where a partition's leader is, a connection to it, and waiting for news when the metadata turned
 * out to be behind. Calls have connections of their own, and subscriptions others, on which answers wait in small buffers:
 * so a reader that is slow holds little memory here, and none of the calls back.
 */

import type { MetadataImage } from '@fleetmq/metadata';
import type { MetadataWatch } from '@fleetmq/metadata/link';
import {
  type BackoffOptions,
  backoffMs,
  type Clock,
  type Random,
  type Timers,
  type TopicPartitionName,
} from '@fleetmq/shared';
import type { LaneTransport, RawContext } from '@fleetmq/shared/runtime';
import { activeBrokers, type Leader, type Location, locate } from '../domain/locate.ts';

export interface UpstreamsOptions {
  readonly watch: Pick<MetadataWatch, 'image' | 'onChange' | 'waitForVersion'>;
  /** For calls. */
  readonly transportAt: (url: string) => LaneTransport;
  readonly subscriptionTransportAt: (url: string) => LaneTransport;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  /** Between two attempts at a partition. Default 10 ms to 250 ms. */
  readonly backoff?: BackoffOptions;
}

export class Upstreams {
  readonly #options: UpstreamsOptions;
  #turn = 0;

  constructor(options: UpstreamsOptions) {
    this.#options = options;
  }

  get clock(): Clock {
    return this.#options.clock;
  }

  get timers(): Timers {
    return this.#options.timers;
  }

  get image(): MetadataImage {
    return this.#options.watch.image;
  }

  locate(target: TopicPartitionName): Location {
    return locate(this.image, target);
  }

  /** For calls. Ask again for each piece of work. */
  transportTo(leader: Leader): LaneTransport {
    return this.#options.transportAt(leader.url);
  }

  /** For subscriptions. */
  subscriptionTo(leader: Leader): LaneTransport {
    return this.#options.subscriptionTransportAt(leader.url);
  }

  /** 0, 1, 2 ...: for whoever takes turns. */
  nextTurn(): number {
    return this.#turn++ % 2 ** 30;
  }

  /** Brokers in service, another one first each time. */
  brokersInTurn(): Leader[] {
    const brokers = activeBrokers(this.image);
    const first = brokers.length === 0 ? 0 : this.nextTurn() % brokers.length;
    return [...brokers.slice(first), ...brokers.slice(0, first)];
  }

  /** Calls `listener` after each change of the metadata; the result ends that. */
  onChange(listener: () => void): () => void {
    return this.#options.watch.onChange(listener);
  }

  /** Resolves when the metadata has this version, when the time is over or the signal aborts; never rejects. */
  async reachVersion(version: number, withinMs: number, signal: AbortSignal): Promise<void> {
    const late = new AbortController();
    const timer = this.timers.after(withinMs, () => late.abort());
    try {
      await this.#options.watch.waitForVersion(version, AbortSignal.any([signal, late.signal]));
    } catch {
      // The caller's answer is right at any version: it only asked for the newest in reach.
    } finally {
      timer.cancel();
    }
  }

  /** Waits before attempt number `attempt` is repeated: for the backoff, or less when the metadata changes. Never rejects. */
  async beforeRetry(attempt: number, boundMs: number, signal: AbortSignal): Promise<void> {
    const { random, backoff = { baseMs: 10, maxMs: 250 } } = this.#options;
    const delayMs = Math.min(boundMs, backoffMs(attempt, backoff, random));
    await this.pause(delayMs, signal, (wake) => this.onChange(wake));
  }

  /** Resolves after `delayMs`, when the signal aborts, or when whoever `listen` tells calls; never rejects. */
  pause(
    delayMs: number,
    signal: AbortSignal,
    listen: (wake: () => void) => () => void = () => () => undefined,
  ): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        timer.cancel();
        signal.removeEventListener('abort', wake);
        stopListening();
        resolve();
      };
      const timer = this.timers.after(delayMs, wake);
      const stopListening = listen(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }
}

/** What travels on with a call: W3C trace context, and nothing that a caller could use to pose as somebody else. */
export function forwardedHeaders(context: Pick<RawContext, 'header'>): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of ['traceparent', 'tracestate']) {
    const value = context.header(name);
    if (value !== undefined) headers[name] = value;
  }
  return headers;
}
