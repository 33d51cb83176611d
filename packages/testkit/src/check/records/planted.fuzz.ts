/** Anomalies that are planted into the history of a correct execution: each changes what somebody was told, and names what must be found. */
import type { Random } from '@fleetmq/shared';
import type { CallEvent, RecordEvent } from './events.ts';
import { finalReader } from './execution.fuzz.ts';
import type { FindingName } from './findings.ts';

/** Changes the events; false: there is no place for it. */
type Plant = (events: RecordEvent[], random: Random) => boolean;

type PollAnswer = CallEvent & { readonly kind: 'poll'; readonly type: 'ok' };
type SendCall = CallEvent & { readonly kind: 'send'; readonly type: 'invoke' };
type SendAnswer = CallEvent & { readonly kind: 'send'; readonly type: 'ok' };

type MutableRecords = [offset: number, value: string][];

/** What one poll got of one partition. */
interface Part {
  readonly event: PollAnswer;
  readonly partition: string;
  readonly records: MutableRecords;
  readonly isRebalanced: boolean;
}

interface Acknowledged {
  readonly call: SendCall;
  readonly answer: SendAnswer;
  readonly partition: string;
  readonly values: string[];
  readonly offsets: number[];
}

export const plants: Readonly<Partial<Record<FindingName, Plant>>> = {
  'lost-write': (events, random) => {
    const sent = pick(readSends(events), random);
    const offset = sent?.offsets[0] ?? 0;
    if (sent === undefined || highestOf(events, sent.partition) <= offset) return false;
    for (const part of partsOf(events, sent.partition)) keep(part, ([each]) => each !== offset);
    return true;
  },
  unseen: (events, random) => {
    const sent = pick(readSends(events), random);
    if (sent === undefined) return false;
    for (const part of partsOf(events, sent.partition)) keep(part, ([each]) => each < (sent.offsets[0] ?? 0));
    return true;
  },
  duplicate: (events, random) => {
    const part = pick(finalParts(events), random);
    const value = part?.records[0]?.[1];
    return value !== undefined && appendLast(events, part?.partition ?? '', value);
  },
  'inconsistent-offsets': (events, random) => {
    const part = pick(finalParts(events), random);
    const offset = part?.records[0]?.[0];
    if (part === undefined || offset === undefined || !isReadByOthers(events, part, 0)) return false;
    insertSend(events, part.partition, 'planted');
    part.records[0] = [offset, 'planted'];
    return true;
  },
  'unwritten-read': (events, random) => {
    const record = pick(finalParts(events), random)?.records[0];
    if (record !== undefined) record[1] = 'planted';
    return record !== undefined;
  },
  G1a: (events, random) => {
    const failed = events.filter((event): event is SendCall => {
      const isSend = event.kind === 'send' && event.type === 'invoke';
      return isSend && events.some((other) => other.type === 'fail' && other.id === event.id);
    });
    const part = pick(failed, random)?.input.sends[0];
    return part !== undefined && appendLast(events, part.partition, part.values[0] ?? '');
  },
  'poll-skip': (events, random) => {
    const part = pick(
      finalParts(events).filter(({ records }) => records.length > 2),
      random,
    );
    if (part === undefined || !isReadByOthers(events, part, 1)) return false;
    const [first] = part.records.splice(0, 2);
    insertPoll(events, part, [first as [number, string]]);
    return true;
  },
  'int-poll-skip': (events, random) => {
    const part = pick(
      finalParts(events).filter(({ records }) => records.length > 2),
      random,
    );
    if (part === undefined || !isReadByOthers(events, part, 1)) return false;
    part.records.splice(1, 1);
    return true;
  },
  'nonmonotonic-poll': (events, random) => {
    const part = pick(steadyParts(events), random);
    if (part !== undefined) insertPoll(events, part, part.records);
    return part !== undefined;
  },
  'int-nonmonotonic-poll': (events, random) => {
    const part = pick(
      steadyParts(events).filter(({ records }) => records.length > 1),
      random,
    );
    part?.records.reverse();
    return part !== undefined;
  },
  'nonmonotonic-send': (events, random) => {
    const all = readSends(events);
    const earlier = pick(all, random);
    const later = all.find(({ call, partition, offsets }) => {
      const isSameLane = call.process === earlier?.call.process && partition === earlier.partition;
      return isSameLane && (offsets[0] ?? 0) > (earlier.offsets[0] ?? 0);
    });
    if (earlier === undefined || later === undefined) return false;
    exchange(events, earlier.call, later.call);
    exchange(events, earlier.answer, later.answer);
    return true;
  },
  'int-nonmonotonic-send': (events, random) => {
    const sent = pick(
      readSends(events).filter(({ values }) => values.length > 1),
      random,
    );
    sent?.values.reverse();
    sent?.offsets.reverse();
    return sent !== undefined;
  },
};

/** Sends whose acknowledgment binds, and that the last reader has read. */
function readSends(events: readonly RecordEvent[]): readonly Acknowledged[] {
  const calls = new Map<number, SendCall>();
  const read = new Set(finalParts(events).flatMap(({ records }) => records.map(([, value]) => value)));
  return events.flatMap((event) => {
    if (event.kind !== 'send') return [];
    if (event.type === 'invoke') calls.set(event.id, event);
    const call = calls.get(event.id);
    const part = call?.input.sends[0];
    if (event.type !== 'ok' || call === undefined || part === undefined) return [];
    if (call.input.acks === 'leader' || call.input.acks === 'none' || !read.has(part.values[0] ?? '')) return [];
    const { partition, values } = part;
    return [{ call, answer: event, partition, values: values as string[], offsets: event.output.offsets as number[] }];
  });
}

function partsOf(events: readonly RecordEvent[], partition?: string): readonly Part[] {
  return events.flatMap((event) => {
    if (event.kind !== 'poll' || event.type !== 'ok') return [];
    const { polls, rebalanced = [] } = event.output;
    const parts = polls.filter((part) => partition === undefined || part.partition === partition);
    return parts.map((part) => ({
      ...{ event, partition: part.partition, records: part.records as MutableRecords },
      isRebalanced: rebalanced.includes(part.partition),
    }));
  });
}

function finalParts(events: readonly RecordEvent[]): readonly Part[] {
  return partsOf(events).filter(({ event }) => event.process === finalReader);
}

function steadyParts(events: readonly RecordEvent[]): readonly Part[] {
  return partsOf(events).filter(({ isRebalanced }) => !isRebalanced);
}

function keep({ records }: Part, isKept: (record: MutableRecords[number]) => boolean): void {
  records.splice(0, records.length, ...records.filter(isKept));
}

function highestOf(events: readonly RecordEvent[], partition: string): number {
  return Math.max(-1, ...partsOf(events, partition).flatMap(({ records }) => records.map(([offset]) => offset)));
}

function isReadByOthers(events: readonly RecordEvent[], part: Part, position: number): boolean {
  const offset = part.records[position]?.[0];
  const others = partsOf(events, part.partition).filter(({ event }) => event.process !== part.event.process);
  return others.some(({ records }) => records.some(([each]) => each === offset));
}

/** Behind everything that the last reader got of the partition. */
function appendLast(events: readonly RecordEvent[], partition: string, value: string): boolean {
  const last = finalParts(events).findLast((part) => part.partition === partition);
  last?.records.push([highestOf(events, partition) + 1, value]);
  return last !== undefined;
}

/** A poll of the same process, just before another one. */
function insertPoll(events: RecordEvent[], { event, partition }: Part, records: MutableRecords): void {
  const invoked = events.findIndex(({ type, ...other }) => type === 'invoke' && 'id' in other && other.id === event.id);
  const { process, timeMs } = event;
  const head = { process, timeMs, kind: 'poll', id: events.length + 1_000 } as const;
  const polls = [{ partition, records: [...records] }];
  events.splice(invoked, 0, { ...head, type: 'invoke', input: {} }, { ...head, type: 'ok', output: { polls } });
}

/** A send of another process without an answer, before everything else. */
function insertSend(events: RecordEvent[], partition: string, value: string): void {
  const input = { sends: [{ partition, values: [value] }] };
  events.unshift({ process: 99, timeMs: 0, kind: 'send', id: events.length + 1_000, type: 'invoke', input });
}

/** Each happens when the other one did. */
function exchange(events: RecordEvent[], one: RecordEvent, other: RecordEvent): void {
  const places = [events.indexOf(one), events.indexOf(other)] as const;
  events[places[0]] = { ...other, timeMs: one.timeMs };
  events[places[1]] = { ...one, timeMs: other.timeMs };
}

function pick<Item>(items: readonly Item[], random: Random): Item | undefined {
  return items[Math.floor(random.next() * items.length)];
}
