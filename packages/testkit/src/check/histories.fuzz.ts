/** Histories for the tests of the checker: hand-made ones in short, arbitrary ones, and what an atomic object would answer. */
import { type Random, seededRandom } from '@fleetmq/shared';
import fc from 'fast-check';
import type { Operation, Outcome } from './history.ts';
import type { RegisterOperation } from './register.ts';
import type { SettingOperation } from './settings.ts';
import type { TopicOperation, TopicState } from './topics.ts';

/** When an operation was called and answered; no answer: nobody knows. */
type Times = readonly [invokedMs: number, returnedMs?: number];

/** One operation of a hand-made history, by a process of its own. */
export function operation<Op extends Operation>(
  [invokedMs, returnedMs = Number.POSITIVE_INFINITY]: Times,
  call: Pick<Op, 'kind' | 'input' | 'output'>,
): Op {
  const outcome: Outcome = returnedMs === Number.POSITIVE_INFINITY ? 'info' : 'ok';
  return { process: nextProcess++, invokedMs, returnedMs, outcome, ...call } as unknown as Op;
}

let nextProcess = 1;

type AnyCall = Pick<Operation, 'kind' | 'input' | 'output'>;

const key = 'x';
const small = fc.nat(2);

/** Of one register; most are not linearizable. */
export const anyRegisterHistory: fc.Arbitrary<readonly RegisterOperation[]> = anyHistory(
  fc.oneof<fc.Arbitrary<AnyCall>[]>(
    fc.record({ kind: fc.constant('read'), input: fc.constant({ key }), output: fc.option(small) }),
    fc.record({
      kind: fc.constant('write'),
      input: fc.record({ key: fc.constant(key), value: small }),
      output: fc.constant(null),
    }),
    fc.record({
      kind: fc.constant('compareAndSet'),
      input: fc.record({ key: fc.constant(key), expected: fc.option(small), value: small }),
      output: fc.boolean(),
    }),
  ),
);

const value = fc.constantFrom('1', '2', '3');
const written = fc.constant({ version: 1 });

/** Of the cluster's setting; most are not linearizable. */
export const anySettingHistory: fc.Arbitrary<readonly SettingOperation[]> = anyHistory(
  fc.oneof<fc.Arbitrary<AnyCall>[]>(
    fc.record({
      kind: fc.constant('readSetting'),
      input: fc.constant({}),
      output: fc.record({ version: fc.constant(1), value: fc.option(value) }),
    }),
    fc.record({ kind: fc.constant('writeSetting'), input: fc.record({ value }), output: written }),
    fc.record({
      kind: fc.constant('compareAndSetSetting'),
      input: fc.record({ expected: fc.option(value), expectedVersion: fc.constant(1), value }),
      output: fc.oneof(written, fc.constant({ refused: 'STALE_EPOCH' as const })),
    }),
  ),
);

function anyHistory<Op extends Operation>(call: fc.Arbitrary<AnyCall>): fc.Arbitrary<readonly Op[]> {
  const times = {
    invokedMs: fc.nat(12),
    tookMs: fc.nat(6),
    outcome: fc.constantFrom<Outcome>('ok', 'ok', 'ok', 'info', 'fail'),
  };
  return fc.array(fc.record({ call, ...times }), { maxLength: 7 }).map((list) => {
    const operations = list.map(({ call: { kind, input, output }, invokedMs, tookMs, outcome }, process) => {
      const returnedMs = outcome === 'info' ? Number.POSITIVE_INFINITY : invokedMs + tookMs;
      return { process, kind, input, output: outcome === 'ok' ? output : undefined, outcome, invokedMs, returnedMs };
    });
    return operations.sort((left, right) => left.invokedMs - right.invokedMs) as unknown as readonly Op[];
  });
}

export interface AtomicOptions {
  readonly seed: number;
  readonly operations: number;
  readonly processes: number;
  readonly keys: number;
  /** Share of calls whose answer is lost; half of them take effect, soon or late. */
  readonly unknownRate: number;
}

interface Call {
  readonly process: number;
  readonly random: Random;
  readonly invokedMs: number;
  /** When it takes effect; never for some of unknown outcome. */
  readonly effectMs: number;
  readonly returnedMs: number;
}

/** What registers answer that do one thing at a time. */
export function atomicRegisterHistory(options: AtomicOptions): readonly RegisterOperation[] {
  const values = new Map<string, number>();
  return atomicHistory(options, ({ random }, number) => {
    const input = { key: `k${pick(random, options.keys)}` };
    const state = values.get(input.key) ?? null;
    const dice = random.next();
    if (dice < 0.4) return { kind: 'read', input, output: state };
    if (dice < 0.7) {
      values.set(input.key, number);
      return { kind: 'write', input: { ...input, value: number }, output: null };
    }
    const expected = random.next() < 0.5 ? state : number;
    if (expected === state) values.set(input.key, number);
    return { kind: 'compareAndSet', input: { ...input, expected, value: number }, output: expected === state };
  });
}

/** What one controller answers that does one thing at a time, without versions. */
export function atomicTopicHistory(options: AtomicOptions): readonly TopicOperation[] {
  const topics = new Map<string, TopicState>();
  return atomicHistory(options, ({ random }, number) => {
    const name = `t${pick(random, options.keys)}`;
    const state = topics.get(name) ?? null;
    const absent = { refused: 'TOPIC_NOT_FOUND' };
    const dice = random.next();
    if (dice < 0.25) {
      const partitions = 1 + pick(random, 2);
      const output = state === null ? { topicId: `id${number}` } : { refused: 'TOPIC_ALREADY_EXISTS' };
      topics.set(name, state ?? { topicId: `id${number}`, partitions, value: null });
      return { kind: 'createTopic', input: { name, partitions }, output };
    }
    if (dice < 0.4) {
      topics.delete(name);
      return { kind: 'deleteTopic', input: { name }, output: state === null ? absent : {} };
    }
    if (dice < 0.6) {
      if (state !== null) topics.set(name, { ...state, value: `v${number}` });
      return { kind: 'alterTopic', input: { name, value: `v${number}` }, output: state === null ? absent : {} };
    }
    if (dice < 0.7) {
      const total = 2 + pick(random, 3);
      const hasAsMany = state !== null && state.partitions >= total;
      if (state !== null && !hasAsMany) topics.set(name, { ...state, partitions: total });
      const output = state === null ? absent : hasAsMany ? { refused: 'INVALID_REQUEST' } : {};
      return { kind: 'addPartitions', input: { name, total }, output };
    }
    return { kind: 'describeTopic', input: { name }, output: state === null ? absent : { ...state } };
  });
}

/** Calls of processes that overlap; `perform` is told of them in the order in which they take effect. */
function atomicHistory<Op extends Operation>(
  options: AtomicOptions,
  perform: (call: Call, number: number) => AnyCall,
): readonly Op[] {
  const calls = callsOf(options).sort((left, right) => left.effectMs - right.effectMs);
  const operations = calls.map((call, number) => {
    const { process, invokedMs, returnedMs } = call;
    const { kind, input, output } = perform(call, number);
    const outcome: Outcome = returnedMs === Number.POSITIVE_INFINITY ? 'info' : 'ok';
    const isAnswered = outcome === 'ok';
    return { process, kind, input, output: isAnswered ? output : undefined, outcome, invokedMs, returnedMs };
  });
  return operations.sort((left, right) => left.invokedMs - right.invokedMs) as unknown as readonly Op[];
}

function callsOf({ seed, operations, processes, unknownRate }: AtomicOptions): Call[] {
  const random = seededRandom(seed);
  const freeAtMs = new Array<number>(processes).fill(0);
  const lastMs = operations * 10;
  return Array.from({ length: operations }, () => {
    const process = pick(random, processes);
    const invokedMs = (freeAtMs[process] ?? 0) + random.next() * 5;
    const tookMs = random.next() * 20;
    freeAtMs[process] = invokedMs + tookMs;
    const call = { process, random, invokedMs };
    if (random.next() >= unknownRate) {
      return { ...call, effectMs: invokedMs + random.next() * tookMs, returnedMs: invokedMs + tookMs };
    }
    // What never happens is done after everything else, where nobody sees it.
    const effectMs = random.next() < 0.5 ? Number.MAX_VALUE : invokedMs + random.next() ** 3 * lastMs;
    return { ...call, effectMs, returnedMs: Number.POSITIVE_INFINITY };
  });
}

function pick(random: Random, count: number): number {
  return Math.floor(random.next() * count);
}
