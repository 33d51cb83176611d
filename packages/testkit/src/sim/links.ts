/**
 * The links between simulated processes: each may be cut in one direction alone, and what passes is late, lost, doubled or
 * overtaken. Packets of a stream keep their order, as TCP does; the first that meets a cut breaks it.
 */
import type { Random } from '@fleetmq/shared';
import type { VirtualTime } from './clock.ts';

/** What the network does to packets now. Rates are of 1. */
export interface NetworkConditions {
  delayMs: number;
  delaySpreadMs: number;
  lossRate: number;
  duplicateRate: number;
  /** A packet that is held back for up to `straggleMs`, behind its sender's timeouts. */
  straggleRate: number;
  straggleMs: number;
}

export interface NetworkCounters {
  packets: number;
  lost: number;
  cut: number;
  duplicated: number;
  straggled: number;
}

export interface LinksOptions {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly conditions: NetworkConditions;
}

export class Links {
  readonly #options: LinksOptions;
  readonly #cuts = new Set<number>();
  readonly counters: NetworkCounters = { packets: 0, lost: 0, cut: 0, duplicated: 0, straggled: 0 };

  constructor(options: LinksOptions) {
    this.#options = options;
  }

  cut(from: number, to: number): void {
    this.#cuts.add(linkOf(from, to));
  }

  isCut(from: number, to: number): boolean {
    return this.#cuts.has(linkOf(from, to));
  }

  healAll(): void {
    this.#cuts.clear();
  }

  /** One packet, for which `deliver` is called at its arrival: once, twice, or never. */
  send(from: number, to: number, deliver: () => void): void {
    const { time, random, conditions } = this.#options;
    const { counters } = this;
    counters.packets++;
    if (this.isCut(from, to)) {
      counters.cut++;
      return;
    }
    if (conditions.lossRate > 0 && random.next() < conditions.lossRate) {
      counters.lost++;
      return;
    }
    time.after(this.#delay(), deliver);
    if (conditions.duplicateRate > 0 && random.next() < conditions.duplicateRate) {
      counters.duplicated++;
      time.after(this.#delay(), deliver);
    }
  }

  /** Sends in order; `broken` is called once, when a packet met a cut. */
  ordered(from: number, to: number, broken: () => void): (deliver: () => void) => void {
    const { time } = this.#options;
    let lastMs = 0;
    let isBroken = false;
    return (deliver) => {
      if (isBroken) return;
      this.counters.packets++;
      if (this.isCut(from, to)) {
        this.counters.cut++;
        isBroken = true;
        broken();
        return;
      }
      lastMs = Math.max(lastMs, time.nowMs + this.#delay());
      time.at(lastMs, deliver);
    };
  }

  #delay(): number {
    const { random, conditions } = this.#options;
    if (conditions.straggleRate > 0 && random.next() < conditions.straggleRate) {
      this.counters.straggled++;
      return random.next() * conditions.straggleMs;
    }
    return conditions.delayMs + random.next() * conditions.delaySpreadMs;
  }
}

function linkOf(from: number, to: number): number {
  return from * 1_000 + to;
}
