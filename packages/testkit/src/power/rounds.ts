/** What a round is, and how chance draws one: which brokers lose their power, in which way, when, how often, and when it is back. */
import type { Random } from '@fleetmq/shared';
import { between } from '../chaos/fault.ts';

export interface PowerCut {
  /** Ids of brokers; at once. */
  readonly victims: readonly number[];
  /** Their cables are dead, too, so that nobody is told of a closed connection. */
  readonly isSilent: boolean;
}

/** A cut and its end. */
export interface Blow extends PowerCut {
  /** From the begin of the round, or from the blow before it, to the cut. */
  readonly afterMs: number;
  /** Per victim: from the cut to its start. */
  readonly outagesMs: readonly number[];
}

/** One blow or two. The second comes before all replicas are in sync again, or even before the victims of the first are back. */
export interface Round {
  readonly blows: readonly Blow[];
  readonly isOverlapping: boolean;
}

export const cutKinds = ['one', 'two', 'all'] as const;
export type CutKind = (typeof cutKinds)[number];

/** Half of the cuts hit one broker, a quarter each two and all. */
const drawnKinds: readonly CutKind[] = ['one', 'one', 'two', 'all'];
const silentShare = 0.25;
const longShare = 0.2;
const secondShare = 0.3;

/** With a kind the first blow is of this kind, and the only one. */
export function drawRound(brokers: readonly number[], random: Random, kind?: CutKind): Round {
  const first = drawBlow(brokers, random, kind ?? chooseOne(drawnKinds, random));
  const unharmed = brokers.filter((id) => !first.victims.includes(id));
  const isOverlapping = random.next() < 0.5 && unharmed.length > 0;
  const targets = isOverlapping ? unharmed : brokers;
  const kinds = drawnKinds.filter((each) => countOf(each, brokers) <= targets.length);
  const second = drawBlow(targets, random, chooseOne(kinds, random));
  const isDouble = random.next() < secondShare && kind === undefined;
  return isDouble ? { blows: [first, second], isOverlapping } : { blows: [first], isOverlapping: false };
}

function drawBlow(targets: readonly number[], random: Random, kind: CutKind): Blow {
  const count = countOf(kind, targets);
  const isSilent = random.next() < silentShare;
  // A long outage is seen by the controllers, in a short one they have not missed anybody yet.
  const outageMaxMs = random.next() < longShare ? 4_000 : 400;
  return {
    victims: chooseSome(targets, count, random),
    isSilent,
    afterMs: between(random, 100, 900),
    outagesMs: Array.from({ length: count }, () => between(random, 0, outageMaxMs)),
  };
}

function countOf(kind: CutKind, brokers: readonly number[]): number {
  return kind === 'all' ? brokers.length : cutKinds.indexOf(kind) + 1;
}

function chooseOne<Value>(values: readonly Value[], random: Random): Value {
  return values[Math.floor(random.next() * values.length)] as Value;
}

export function kindOf({ victims }: PowerCut): CutKind {
  return cutKinds[Math.min(victims.length, cutKinds.length) - 1] as CutKind;
}

export function describeCut({ victims, isSilent }: PowerCut): string {
  const who = victims.length === 1 ? `broker ${victims[0]} loses its` : `brokers ${victims.join(', ')} lose their`;
  return `${who} power${isSilent ? ', in silence' : ''}`;
}

function chooseSome(all: readonly number[], count: number, random: Random): readonly number[] {
  const left = [...all];
  return Array.from({ length: count }, () => left.splice(Math.floor(random.next() * left.length), 1)[0] as number);
}
