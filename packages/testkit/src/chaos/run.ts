/**
 * One run against a cluster of real processes: start, load and faults, heal, read everything, judge. Whatever happens, the
 * machine is left as it was.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isDomainError } from '@fleetmq/shared';
import { streamsOf } from '../sim/seed.ts';
import { brokerNode, Cluster, controllerNodes, gatewayNode } from './cluster.ts';
import { type Convergence, converge } from './convergence.ts';
import type { Fault } from './fault.ts';
import { runDrawnFaults, runListedFaults, type SeriesOptions } from './fault-series.ts';
import type { FaultKind } from './faults.ts';
import { faultKinds } from './faults.ts';
import { Findings } from './findings.ts';
import { judge, type Summary } from './judge.ts';
import { Leaders } from './leaders.ts';
import { Load } from './load.ts';
import { Measures } from './measures.ts';
import { Members } from './members.ts';
import { PrivateNetwork } from './network.ts';
import { Prober } from './prober.ts';
import { Recorder } from './recorder.ts';
import { claimSlot, type Slot } from './slot.ts';

export interface ChaosOptions {
  /** Chooses faults and operations; what the machine makes of them it does not. */
  readonly seed: number;
  /** 3 or 5. */
  readonly controllers: number;
  /** Length of the phase with faults. Ignored with `faults`. */
  readonly minutes: number;
  /** These, one after the other, instead of faults that are drawn; and no change of the members. */
  readonly faults?: readonly FaultKind[];
  /** Folder for `history.jsonl`, `summary.json` and, when something was found, the logs. Is made. */
  readonly out: string;
  /** Longest a fault lasts. Default: as long as it was meant to, a pause up to 30 s. */
  readonly lastsMaxMs?: number;
  /** What a busy machine may be late beyond the bound of a recovery. Default 0. */
  readonly slackMs?: number;
  readonly print: (line: string) => void;
  /** Ends the run early: it is healed and judged as it is. */
  readonly signal?: AbortSignal;
}

const electionTimeoutMs = 1_000;
const exchangeEveryMs = 20_000;
const healedWithinMs = 60_000;

export async function runChaos(options: ChaosOptions): Promise<Summary> {
  fs.mkdirSync(options.out, { recursive: true });
  const findings = new Findings(options.print);
  const { run, leftovers } = await runInSlot(options, findings);
  for (const name of leftovers) findings.add(`${name} was left behind`);
  options.print('judging');
  const summary = judge({ ...run, findings });
  fs.writeFileSync(path.join(options.out, 'summary.json'), `${JSON.stringify(summary, undefined, 2)}\n`);
  return summary;
}

async function runInSlot(options: ChaosOptions, findings: Findings) {
  await using slot = await claimSlot();
  const run = await runIn(slot, options, findings);
  await slot[Symbol.asyncDispose]();
  return { run, leftovers: slot.leftovers };
}

async function runIn(slot: Slot, options: ChaosOptions, findings: Findings) {
  const { seed, controllers, out, print } = options;
  const startedMs = performance.now();
  const announce = (text: string): void =>
    print(`${((performance.now() - startedMs) / 1_000).toFixed(1).padStart(7)}  ${text}`);
  const random = streamsOf(seed);
  const measures = new Measures();
  const network = await PrivateNetwork.create(slot, [...controllerNodes(controllers), brokerNode, gatewayNode]);
  await using stack = new AsyncDisposableStack();
  const onUnexpectedEnd = (text: string): void => findings.add(text);
  const cluster = stack.use(await Cluster.start({ slot, network, controllers, electionTimeoutMs, onUnexpectedEnd }));
  stack.defer(() => keepLogs(cluster, findings, out));
  announce(`${controllers} controllers, a broker and a gateway run`);
  const recorder = stack.use(new Recorder(path.join(out, 'history.jsonl')));
  const leaders = stack.use(new Leaders(cluster));
  const prober = stack.use(await Prober.start(cluster));
  const load = stack.use(new Load({ cluster, recorder, random, onBug: (text) => findings.add(text) }));
  load.start();
  const series = {
    ...{ cluster, network, leaders, prober, findings, measures, announce, electionTimeoutMs },
    state: { broken: new Set<Fault>(), begun: 0, mendedMs: performance.now() },
    lastsMaxMs: options.lastsMaxMs,
    slackMs: options.slackMs ?? 0,
  };
  await breakThings(options, { ...series, random: random('faults') });
  announce('healing');
  await healAll(cluster, network);
  const healedMs = performance.now();
  const acknowledgment = await prober.nextAfter(healedMs, healedWithinMs);
  if (acknowledgment === undefined)
    findings.add(`no change was acknowledged within ${healedWithinMs} ms after healing`);
  await load.stop();
  await prober[Symbol.asyncDispose]();
  const found = await load.readAll();
  const convergence: Convergence = await converge(cluster, leaders);
  announce(`healed; all members agreed after ${convergence.tookMs.toFixed(0)} ms`);
  await leaders[Symbol.asyncDispose]();
  leaders.readLogs();
  const operations = recorder.operations();
  return {
    ...{ seed, controllers, operations, found, convergence, measures, terms: leaders.terms },
    tookMs: performance.now() - startedMs,
  };
}

/** Until the time is over, or the listed faults are through. Errors of the harness itself end the run. */
async function breakThings(options: ChaosOptions, series: SeriesOptions): Promise<void> {
  const { faults, controllers, minutes, seed } = options;
  const ending = new AbortController();
  const { signal } = ending;
  options.signal?.addEventListener('abort', () => ending.abort(), { once: true });
  if (options.signal?.aborted === true) return;
  if (faults !== undefined) {
    await runListedFaults(series, faults, signal);
    return;
  }
  const timer = setTimeout(() => ending.abort(), minutes * 60_000);
  const random = streamsOf(seed);
  // Five controllers bear two faults at a time.
  const drawn = Array.from({ length: controllers >= 5 ? 2 : 1 }, (_, number) => {
    return runDrawnFaults({ ...series, random: random(`faults ${number}`) }, faultKinds, signal);
  });
  try {
    await Promise.all([...drawn, exchangeMembers(series, random('members'), signal)]);
  } finally {
    clearTimeout(timer);
    ending.abort();
  }
}

/** An exchange that does not come about is a finding. */
async function exchangeMembers(
  series: SeriesOptions,
  random: SeriesOptions['random'],
  signal: AbortSignal,
): Promise<void> {
  const { cluster, findings, announce } = series;
  await using members = new Members({ cluster, findings, random, announce });
  while (!signal.aborted) {
    await delay(exchangeEveryMs * (0.5 + random.next()), undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    try {
      await members.exchange();
    } catch (error) {
      if (!isDomainError(error)) throw error;
      findings.add(error.message);
      return;
    }
  }
}

async function healAll(cluster: Cluster, network: PrivateNetwork): Promise<void> {
  await network.healAll();
  for (const seat of cluster.seats) {
    if (!cluster.process(seat).isRunning) await cluster.start(seat);
  }
}

/** When something was found, or FLEETMQ_KEEP_DATA is set. */
function keepLogs({ logFolder }: Cluster, findings: Findings, out: string): void {
  const isWanted = findings.all.length > 0 || process.env['FLEETMQ_KEEP_DATA'] !== undefined;
  if (isWanted) fs.cpSync(logFolder, path.join(out, 'logs'), { recursive: true });
}
