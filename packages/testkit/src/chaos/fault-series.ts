/**
 * A series of faults: one after the other, drawn by chance or from a list, each announced, measured and mended. Two things are
 * measured: the longest time without an acknowledged change once the leader was hit, and how long after a fault was mended; the
 * latter has a bound (see `recoversWithinMs`) where a majority of the members is well. A leader that is hit while another fault goes
 * on, or soon after one, is counted apart: connections may still be in the state that it left them in.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Seat } from './cluster.ts';
import { between, type Fault, type FaultContext } from './fault.ts';
import { beginFault, type FaultKind } from './faults.ts';
import { longestGap, type Measures } from './measures.ts';

export interface SeriesOptions extends FaultContext {
  readonly measures: Measures;
  readonly announce: (text: string) => void;
  readonly electionTimeoutMs: number;
  /** Shared by all series of a run. */
  readonly state: SeriesState;
  /** What the machine may be late, in ms. */
  readonly slackMs: number;
  /** Longest a fault lasts. Default: as long as it was meant to. */
  readonly lastsMaxMs?: number | undefined;
}

export interface SeriesState {
  /** What is broken now. */
  readonly broken: Set<Fault>;
  /** Faults so far. */
  begun: number;
  /** When a fault was last mended. */
  mendedMs: number;
}

/** Whatever the machine is doing at that moment. */
const giveUpMs = 60_000;
/** Between controllers a dead connection is found within four election timeouts. */
const settledAfterMs = 5_000;
/** Half of the faults follow soon, at random within this on average, half once things have settled. */
const soonMs = 1_000;
const calmMs = [5_000, 8_000] as const;

/** Until the signal aborts. The fault that is going on then is mended first. */
export async function runDrawnFaults(
  options: SeriesOptions,
  kinds: readonly FaultKind[],
  signal: AbortSignal,
): Promise<void> {
  const { random } = options;
  while (!signal.aborted) {
    const kind = kinds[Math.floor(random.next() * kinds.length)] as FaultKind;
    if (!(await runFault(options, kind, signal))) {
      await sleep(100, signal);
      continue;
    }
    const isSoon = random.next() < 0.5;
    await sleep(isSoon ? -Math.log(1 - random.next()) * soonMs : between(random, ...calmMs), signal);
  }
}

/** One after the other; one that is not possible yet is waited for. */
export async function runListedFaults(
  options: SeriesOptions,
  kinds: readonly FaultKind[],
  signal: AbortSignal,
): Promise<void> {
  for (const kind of kinds) {
    while (!signal.aborted && !(await runFault(options, kind, signal))) await sleep(100, signal);
  }
}

/** False: it was not possible. */
async function runFault(options: SeriesOptions, kind: FaultKind, signal: AbortSignal): Promise<boolean> {
  const { announce, state, measures, prober, lastsMaxMs = Number.POSITIVE_INFINITY } = options;
  const startedMs = performance.now();
  const isSettled = state.broken.size === 0 && startedMs - state.mendedMs > settledAfterMs;
  const fault = await beginFault(kind, options);
  if (fault === undefined) return false;
  announce(`${kind}: ${fault.text}`);
  measures.fired(kind);
  state.begun++;
  state.broken.add(fault);
  const isMeasured = fault.endsLeadership && hasMajority(options);
  await sleep(Math.min(fault.lastsMs, lastsMaxMs), signal);
  await fault.mend();
  state.broken.delete(fault);
  const mendedMs = performance.now();
  state.mendedMs = mendedMs;
  if (!hasMajority(options)) return true;
  const { begun } = state;
  const acknowledgment = await prober.nextAfter(mendedMs, giveUpMs);
  if (isMeasured) {
    const tookMs = longestGap(prober.answeredMs, { fromMs: startedMs, toMs: mendedMs });
    measures.outage(isSettled ? kind : 'two faults in a row', tookMs);
  }
  // Another series may have hit the leader meanwhile.
  if (state.begun !== begun) return true;
  const tookMs = (acknowledgment?.answeredMs ?? mendedMs + giveUpMs) - mendedMs;
  const boundMs = recoversWithinMs(options);
  if (tookMs > boundMs / 2)
    announce(`the next change was acknowledged ${tookMs.toFixed(0)} ms after ${kind} had ended`);
  measures.recovered(kind, { tookMs, boundMs, atMs: mendedMs });
  return true;
}

/** Three election timeouts, and the start of a process. */
function recoversWithinMs({ electionTimeoutMs, cluster, slackMs }: SeriesOptions): number {
  return 3 * electionTimeoutMs + cluster.startMaxMs + slackMs;
}

/** Whether enough members are touched by no fault. */
function hasMajority({ cluster, state }: SeriesOptions): boolean {
  const victims = new Set<Seat>([...state.broken].flatMap((fault) => fault.victims));
  const { members } = cluster;
  return members.filter((seat) => !victims.has(seat)).length > members.length / 2;
}

async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}
