/** What the seed of a cluster in a box decides: the rules that its nodes go by, and how often what happens. */
import type { Random } from '@fleetmq/shared';
import type { RaftOptions } from '../config.ts';

export class Dice {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  next(): number {
    return this.#random.next();
  }

  below(bound: number): number {
    return Math.floor(this.#random.next() * bound);
  }

  coin(): boolean {
    return this.below(2) === 0;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)] as Item;
  }
}

/** Options that all nodes share. */
export type Rules = Omit<RaftOptions, 'id' | 'storage' | 'random'>;

export function drawRules(dice: Dice): Rules {
  return {
    electionTicks: 5,
    heartbeatTicks: 1,
    preVote: dice.coin(),
    checkQuorum: dice.coin(),
    asyncStorageWrites: dice.coin(),
    disableProposalForwarding: dice.coin(),
    maxSizePerMsg: dice.coin() ? 0 : 100,
    maxInflightMsgs: 1 + dice.below(4),
    maxCommittedSizePerReady: dice.coin() ? 1 : 200,
    maxInflightBytes: 10_000,
  };
}

/** Events and their weights. */
export type Weather = Readonly<Record<string, number>>;

/** Each seed has its own. */
export function drawWeather(dice: Dice): Weather {
  const some = (most: number): number => 1 + dice.below(most);
  return {
    deliver: 300,
    ready: 260,
    work: 140,
    tick: 80 + some(80),
    propose: 30 + some(60),
    read: some(60),
    confChange: some(30),
    compact: some(10),
    transfer: some(8),
    forget: some(6),
    campaign: some(6),
    restart: some(10),
    partition: some(6),
    unreachable: 10,
    snapshotOutcome: 10,
  };
}

export function drawEvent(dice: Dice, weather: Weather): string {
  const entries = Object.entries(weather);
  let left = dice.below(entries.reduce((sum, [, weight]) => sum + weight, 0));
  for (const [event, weight] of entries) {
    if (left < weight) return event;
    left -= weight;
  }
  return 'deliver';
}
