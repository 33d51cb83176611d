/**
 * Which brokers have been silent for too long. A table over the leader's monotonic clock, whose readings are passed in:
 * no wall clock decides (P23), and nothing here proposes or waits.
 *
 * The table means something on the leader alone. Whoever becomes leader calls `restart`: every broker then has a whole
 * session from that moment on, because heartbeats to the leader before are not known. A broker that is fenced or gone is
 * forgotten; heartbeats of an older registration do not count.
 */
import type { BrokerImage } from '@fleetmq/metadata';
import type { BrokerEpoch, BrokerId } from '@fleetmq/shared';
import type { BrokerLife } from './commands.ts';

interface Heard {
  readonly brokerEpoch: BrokerEpoch;
  readonly atMs: number;
}

export class Liveness {
  readonly #sessionTimeoutMs: number;
  readonly #heard = new Map<BrokerId, Heard>();
  #startMs = 0;

  constructor(options: { readonly sessionTimeoutMs: number }) {
    this.#sessionTimeoutMs = options.sessionTimeoutMs;
  }

  /** This node leads from now on. */
  restart(nowMs: number): void {
    this.#heard.clear();
    this.#startMs = nowMs;
  }

  /** The broker registered or sent a heartbeat. */
  heard(life: BrokerLife, nowMs: number): void {
    const known = this.#heard.get(life.brokerId);
    if (known !== undefined && known.brokerEpoch > life.brokerEpoch) return;
    this.#heard.set(life.brokerId, { brokerEpoch: life.brokerEpoch, atMs: nowMs });
  }

  /** Milliseconds since the broker was heard of in this life, or since this node leads. */
  silenceMs(life: BrokerLife, nowMs: number): number {
    const heard = this.#heard.get(life.brokerId);
    const since = heard !== undefined && heard.brokerEpoch === life.brokerEpoch ? heard.atMs : this.#startMs;
    return nowMs - Math.max(since, this.#startMs);
  }

  /** The brokers to fence now, in the order of `brokers`. Forgets what is not registered any more: the table stays bounded. */
  overdue(brokers: readonly BrokerImage[], nowMs: number): readonly BrokerImage[] {
    const registered = new Set(brokers.map(({ brokerId }) => brokerId));
    for (const brokerId of this.#heard.keys()) if (!registered.has(brokerId)) this.#heard.delete(brokerId);
    return brokers.filter(
      (broker) => broker.state !== 'fenced' && this.silenceMs(broker, nowMs) >= this.#sessionTimeoutMs,
    );
  }
}
