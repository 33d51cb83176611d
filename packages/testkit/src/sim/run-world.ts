/**
 * What all parts of one run share, whatever the scenario: time, chance, network, trace, what was counted, and the first
 * failure. One per run; nothing is global. And how a run is begun and summed up.
 */
import type { Random } from '@fleetmq/shared';
import { nodeChecksum } from '@fleetmq/shared/runtime';
import { Counts } from './counts.ts';
import { describeError, type Failure, type FailureKind } from './failure.ts';
import { type NetworkOptions, SimNetwork } from './network.ts';
import type { RunResult } from './run-result.ts';
import { Scheduler } from './scheduler.ts';
import { streamsOf } from './seed.ts';
import { Trace } from './trace.ts';

export interface WorldSeed {
  readonly seed: number;
  readonly network: NetworkOptions['conditions'];
}

export interface RunWorld<Seed extends WorldSeed = WorldSeed> {
  readonly seed: Seed;
  readonly scheduler: Scheduler;
  readonly network: SimNetwork;
  readonly trace: Trace;
  readonly counts: Counts;
  readonly random: (name: string) => Random;
  /** The first one counts. */
  fail(kind: FailureKind, name: string, text: string): void;
  readonly failure: Failure | undefined;
}

export interface WorldOptions extends Pick<NetworkOptions, 'observe' | 'keepaliveMs'> {
  /** Prints every event. */
  readonly print?: ((line: string) => void) | undefined;
}

export function newWorld<Seed extends WorldSeed>(
  seed: Seed,
  { print, ...networkOptions }: WorldOptions,
): RunWorld<Seed> {
  const scheduler = new Scheduler();
  const trace = new Trace(() => scheduler.time.nowMs, print);
  const random = streamsOf(seed.seed);
  let failure: Failure | undefined;
  const fail: RunWorld['fail'] = (kind, name, text) => {
    failure ??= { kind, name, text, atMs: scheduler.time.nowMs };
  };
  const network = new SimNetwork({
    ...networkOptions,
    time: scheduler.time,
    random: random('network'),
    conditions: seed.network,
    onPacket: (from, to, method, bytes) => trace.note(method.name, [from, to, bytes.length, nodeChecksum.crc32(bytes)]),
    onBug: (error) => fail('crash', 'a handler threw', describeError(error)),
  });
  return {
    ...{ seed, scheduler, network, trace, random, fail },
    counts: new Counts(),
    get failure() {
      return failure;
    },
  };
}

/** Runs, and takes a promise that is rejected meanwhile, with nobody to hear of it, for a failure of the run. */
export async function watchingRejections<Result>(world: RunWorld, run: () => Promise<Result>): Promise<Result> {
  const onRejection = (error: unknown): void => {
    world.fail('crash', 'a promise was rejected and nobody cared', describeError(error));
  };
  process.on('unhandledRejection', onRejection);
  try {
    return await run();
  } finally {
    process.off('unhandledRejection', onRejection);
  }
}

/** Ends the count. A seed in which nothing happens, or nothing of what is `needed`, tests nothing and has failed. */
export function resultOf(world: RunWorld, needed: readonly string[]): RunResult {
  const { seed, scheduler, counts, network, trace } = world;
  for (const [name, count] of Object.entries(network.counters)) counts.add(`network: ${name}`, count);
  if (world.failure === undefined) requireActivity(world, needed);
  return {
    seed: seed.seed,
    traceHash: trace.hash,
    failure: world.failure,
    counts,
    virtualMs: scheduler.time.nowMs,
    events: scheduler.events,
  };
}

function requireActivity({ counts, fail }: RunWorld, needed: readonly string[]): void {
  const hasFault = counts.entries().some(([name, count]) => name.startsWith('fault: ') && count > 0);
  const missing = needed.filter((name) => counts.get(name) === 0);
  if (!hasFault) missing.push('any fault');
  if (missing.length > 0) fail('generator', 'a seed shows something', `without ${missing.join(', ')}`);
}
