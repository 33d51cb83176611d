/**
 * How clients behave. A roaming one looks for the leader and stays with it, mostly; now and then it asks some controller
 * whatever it is. A loyal one asks a single controller for ever: it is there when its controller leads, has been deposed and
 * does not know it yet, or comes back from a pause.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Random, unreachable } from '@fleetmq/shared';
import { type Caller, directCaller, urlOf } from './callers.ts';
import type { Seat } from './cluster.ts';
import type { LoadClient } from './load-client.ts';
import type { Kind, OutputOf } from './operations.ts';
import type { TopicNames } from './topic-names.ts';

/** How often each operation is chosen. */
type Mix = readonly (readonly [Kind, number])[];

const topicMix: Mix = [
  ['createTopic', 24],
  ['deleteTopic', 16],
  ['alterTopic', 20],
  ['addPartitions', 10],
  ['describeTopic', 30],
];
const settingMix: Mix = [
  ['readSetting', 40],
  ['writeSetting', 25],
  ['compareAndSetSetting', 35],
];
/**
 * Reads that wait for a quorum, and questions that are refused at once: a controller that is cut off leaves the former hanging
 * and could answer the latter by what it knows. Few changes: each that it swallows is of unknown outcome.
 */
export const loyalMixes: readonly Mix[] = [
  [
    ['describeTopic', 75],
    ['readSetting', 15],
    ['createTopic', 4],
    ['deleteTopic', 3],
    ['alterTopic', 3],
  ],
  [['addPartitions', 1]],
];
const settingRate = 0.15;
const directRate = 0.25;
/** Topics that are made and never touched again: they must be there at the end. */
const keptRate = 0.01;

export interface BehaviourOptions {
  readonly client: LoadClient;
  readonly names: TopicNames;
  readonly random: Random;
  readonly seats: readonly Seat[];
  /** Ends it after the operation that is under way. */
  readonly signal: AbortSignal;
}

export interface RoamingOptions extends BehaviourOptions {
  readonly usual: Caller;
  /** Changes and reads settings, and asks controllers directly; a gateway offers neither. */
  readonly seesControllers: boolean;
  /** Mean time between an answer and the next call. */
  readonly pauseMs: number;
}

export async function roam(options: RoamingOptions): Promise<void> {
  const { client, names, random, usual, seats, seesControllers, pauseMs, signal } = options;
  const operations = new Operations(options, roamingTotals);
  for (let kept = 0; !signal.aborted; ) {
    const isDirect = seesControllers && random.next() < directRate;
    const seat = seats[Math.floor(random.next() * seats.length)] as Seat;
    const caller = isDirect ? directCaller(client.pool, urlOf(seat)) : usual;
    const dice = random.next();
    if (dice < keptRate) {
      const name = names.add(`kept-${client.process}-${kept++}`);
      await client.perform(caller, 'createTopic', { name, partitions: 1 });
    } else {
      const mix = seesControllers && random.next() < settingRate ? settingMix : topicMix;
      await operations.perform(caller, choose(mix, random));
    }
    await delay(-Math.log(1 - random.next()) * pauseMs);
  }
}

/** One partition is never more than a topic has: that is refused, changes nothing, and tells whether the topic is there. */
const loyalTotals = [1];
const roamingTotals = [2, 3, 4];

export interface LoyalOptions extends BehaviourOptions {
  readonly seat: Seat;
  readonly mix: Mix;
}

/** Quick while it is answered, slow while it is sent away. */
export async function stayLoyal(options: LoyalOptions): Promise<void> {
  const { client, random, seat, mix, signal } = options;
  const operations = new Operations(options, loyalTotals);
  const caller = directCaller(client.pool, urlOf(seat));
  while (!signal.aborted) {
    const isAnswered = await operations.perform(caller, choose(mix, random));
    await delay(isAnswered ? 15 : 150);
  }
}

/** Operations with inputs that chance chooses. */
class Operations {
  readonly #options: BehaviourOptions;
  /** How many partitions topics are to get. */
  readonly #totals: readonly number[];
  /** As it was last read. */
  #setting: OutputOf<'readSetting'> | undefined;

  constructor(options: BehaviourOptions, totals: readonly number[]) {
    this.#options = options;
    this.#totals = totals;
  }

  /** Whether there was an answer. */
  async perform(caller: Caller, kind: Kind): Promise<boolean> {
    const { client, names, random } = this.#options;
    const name = names.pick(random);
    switch (kind) {
      case 'createTopic':
        return isAnswer(await client.perform(caller, kind, { name, partitions: 1 + Math.floor(random.next() * 2) }));
      case 'deleteTopic':
      case 'describeTopic':
        return isAnswer(await client.perform(caller, kind, { name }));
      case 'alterTopic':
        return isAnswer(await client.perform(caller, kind, { name, value: client.value() }));
      case 'addPartitions': {
        const total = this.#totals[Math.floor(random.next() * this.#totals.length)] as number;
        return isAnswer(await client.perform(caller, kind, { name, total }));
      }
      case 'readSetting':
        this.#setting = await client.perform(caller, kind, {});
        return isAnswer(this.#setting);
      case 'writeSetting':
        return isAnswer(await client.perform(caller, kind, { value: client.value() }));
      case 'compareAndSetSetting':
        return await this.#changeSetting(caller);
      default:
        return unreachable(kind);
    }
  }

  /** Mostly on what was just read, else on what was read some time ago. */
  async #changeSetting(caller: Caller): Promise<boolean> {
    const { client, random } = this.#options;
    const isStale = this.#setting !== undefined && random.next() < 0.2;
    if (!isStale) this.#setting = await client.perform(caller, 'readSetting', {});
    if (this.#setting === undefined) return false;
    const { value: expected, version: expectedVersion } = this.#setting;
    const input = { expected, expectedVersion, value: client.value() };
    return isAnswer(await client.perform(caller, 'compareAndSetSetting', input));
  }
}

function isAnswer(output: object | undefined): boolean {
  return output !== undefined;
}

function choose(mix: Mix, random: Random): Kind {
  const total = mix.reduce((sum, [, weight]) => sum + weight, 0);
  let dice = random.next() * total;
  for (const [kind, weight] of mix) {
    dice -= weight;
    if (dice < 0) return kind;
  }
  return mix[0]?.[0] as Kind;
}
