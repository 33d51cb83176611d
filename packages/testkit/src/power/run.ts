/**
 * One run: a fleet whose brokers lose their power under load, round by round; after each round the disks are read and compared
 * with what was promised, at the end everything is read once more and judged. The first finding ends the rounds, so that what it is
 * about is still on the disks. Whatever happens, the machine is left as it was.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Client, connect } from '@fleetmq/client/node';
import { isDomainError } from '@fleetmq/shared';
import { Findings } from '../chaos/findings.ts';
import { claimSlot, type Slot } from '../chaos/slot.ts';
import { RecordFile } from '../check/records/record-file.ts';
import { RecordRecorder } from '../check/records/recorder.ts';
import { streamsOf } from '../sim/seed.ts';
import { Acknowledgments } from './acknowledgments.ts';
import { Audit } from './audit.ts';
import { readBrokerLogs } from './broker-logs.ts';
import { brokerIds, PowerFleet } from './fleet.ts';
import { judge, type PowerRun, type PowerSummary, type RoundResult } from './judge.ts';
import { PowerLoad } from './load.ts';
import { type CutKind, describeCut, drawRound, type Round } from './rounds.ts';
import { makeTopics } from './topics.ts';
import { waitUntilWhole } from './wholeness.ts';

export interface PowerOptions {
  /** Chooses victims, moments and outages; what the machine makes of them it does not. */
  readonly seed: number;
  readonly rounds: number;
  /** Of the first rounds: how many brokers, in one blow; the others are drawn. */
  readonly kinds?: readonly CutKind[];
  /** No acknowledgment waits for the disk: a run that finds nothing then would find nothing at all. */
  readonly isUnsafe?: boolean;
  /** Folder for `history.jsonl`, `summary.json` and, when something was found, logs and data. Is made. */
  readonly out: string;
  readonly print: (line: string) => void;
  /** Ends the rounds early; what was done is judged. */
  readonly signal?: AbortSignal;
}

/** P25. */
const wholeWithinMs = 60_000;
const connectTimeoutMs = 30_000;
const startsOftenRounds = 5;

interface Context {
  readonly options: PowerOptions;
  readonly fleet: PowerFleet;
  readonly client: Client;
  readonly acknowledgments: Acknowledgments;
  readonly findings: Findings;
  readonly audit: Audit;
  readonly announce: (text: string) => void;
}

export async function runPower(options: PowerOptions): Promise<PowerSummary> {
  fs.mkdirSync(options.out, { recursive: true });
  const findings = new Findings(options.print);
  const { run, leftovers } = await runInSlot(options, findings);
  for (const name of leftovers) findings.add(`${name} was left behind`);
  options.print('judging');
  const summary = judge(run);
  fs.writeFileSync(path.join(options.out, 'summary.json'), `${JSON.stringify(summary, undefined, 2)}\n`);
  return summary;
}

async function runInSlot(options: PowerOptions, findings: Findings) {
  await using slot = await claimSlot();
  const run = await runIn(slot, options, findings);
  await slot[Symbol.asyncDispose]();
  return { run, leftovers: slot.leftovers };
}

async function runIn(slot: Slot, options: PowerOptions, findings: Findings): Promise<PowerRun> {
  const { seed, out, print } = options;
  const startedMs = performance.now();
  const announce = (text: string): void =>
    print(`${((performance.now() - startedMs) / 1_000).toFixed(1).padStart(7)}  ${text}`);
  const historyFile = path.join(out, 'history.jsonl');
  await using stack = new AsyncDisposableStack();
  const file = stack.use(new RecordFile(historyFile));
  const onUnexpectedEnd = (text: string): void => findings.add(text);
  const fleet = stack.use(
    await PowerFleet.start({ slot, onUnexpectedEnd, startsOften: options.rounds >= startsOftenRounds }),
  );
  stack.defer(() => keep(fleet, { findings, options }));
  announce('3 controllers, 3 brokers with a disk each, and a gateway run');
  const client = stack.use(await connect({ url: fleet.url, timeoutMs: connectTimeoutMs }));
  const direct = stack.use(await connect({ brokers: fleet.brokerAddresses, timeoutMs: connectTimeoutMs }));
  await makeTopics(client, options.isUnsafe === true);
  const acknowledgments = new Acknowledgments();
  const recorder = new RecordRecorder({ nowMs: () => performance.now(), write: (event) => file.write(event) });
  const onBug = (text: string): void => findings.add(text);
  const load = stack.use(new PowerLoad({ clients: [client, direct], recorder, acknowledgments, onBug }));
  const audit = new Audit({ fleet, client, acknowledgments, findings });
  load.start();
  const context: Context = { options, fleet, client, acknowledgments, findings, audit, announce };
  const rounds = await runRounds(context);
  announce(`${rounds.length} rounds are over: everything is read`);
  recorder.healed();
  await load.stop();
  if (findings.all.length === 0) await audit.check('at the end');
  if (findings.all.length === 0) await audit.checkAll('at the end');
  await readAll(load, findings);
  const { records, bytes } = audit;
  return {
    ...{ seed, rounds, findings, historyFile, compared: { records, bytes }, wantedRounds: options.rounds },
    logs: readBrokerLogs(fleet.logFolder),
    startMaxMs: fleet.startMaxMs,
    tookMs: performance.now() - startedMs,
  };
}

/** What cannot be read after everything was healed is a finding. */
async function readAll(load: PowerLoad, findings: Findings): Promise<void> {
  try {
    await load.readAll();
  } catch (error) {
    if (!isDomainError(error)) throw error;
    findings.add(`not everything can be read: ${error.message}`);
  }
}

async function runRounds(context: Context): Promise<readonly RoundResult[]> {
  const { options, findings, client, acknowledgments } = context;
  const results: RoundResult[] = [];
  const random = streamsOf(options.seed)('rounds');
  const start = { client, acknowledgments, sinceMs: performance.now(), withinMs: wholeWithinMs };
  const { missing } = await waitUntilWhole(start);
  if (missing !== undefined) findings.add(`before the first round: ${missing}`);
  for (let number = 1; number <= options.rounds; number++) {
    if (findings.all.length > 0 || options.signal?.aborted === true) break;
    const round = drawRound(brokerIds, random, options.kinds?.[number - 1]);
    results.push(await runRound(context, number, round));
  }
  return results;
}

async function runRound(context: Context, number: number, round: Round): Promise<RoundResult> {
  const { client, acknowledgments, findings, audit, announce } = context;
  const startedMs = performance.now();
  const where = `in round ${number}`;
  await strike(context, round, where);
  const sinceMs = performance.now();
  const whole = await waitUntilWhole({ client, acknowledgments, sinceMs, withinMs: wholeWithinMs });
  const { missing, writableMs, wholeMs } = whole;
  const before = audit.records;
  if (missing !== undefined) findings.add(`${where}, after ${wholeWithinMs} ms: ${missing}`);
  else await audit.check(where);
  const ms = (value: number | undefined): string => (value === undefined ? 'never' : `after ${value.toFixed(0)} ms`);
  const blows = round.blows.map(describeCut).join(round.isOverlapping ? ', and meanwhile ' : ', and then ');
  const compared = `${audit.records - before} records compared`;
  announce(`round ${number}: ${blows}; writable ${ms(writableMs)}, whole ${ms(wholeMs)}; ${compared}`);
  return { round, writableMs, wholeMs, tookMs: performance.now() - startedMs };
}

/** Resolves when all brokers are ready again. */
async function strike(context: Context, { blows, isOverlapping }: Round, where: string): Promise<void> {
  let returning: Promise<unknown> = Promise.resolve();
  for (const blow of blows) {
    if (!isOverlapping) await returning;
    await delay(blow.afterMs);
    await context.fleet.cut(blow);
    const back = blow.victims.map((id, position) => restoreLater(context, id, blow.outagesMs[position] ?? 0, where));
    returning = Promise.all([returning, ...back]);
  }
  await returning;
}

/** A broker that does not come back is a finding. */
async function restoreLater({ fleet, findings }: Context, id: number, outageMs: number, where: string): Promise<void> {
  await delay(outageMs);
  await fleet.supply(id);
  try {
    await fleet.startBroker(id);
  } catch (error) {
    if (!isDomainError(error)) throw error;
    findings.add(`${where}: broker ${id} does not come back: ${error.message}`);
  }
}

/** Logs and data, as far as they can be read, when something was found or FLEETMQ_KEEP_DATA is set. */
function keep(fleet: PowerFleet, { findings, options }: Pick<Context, 'findings' | 'options'>): void {
  if (findings.all.length === 0 && process.env['FLEETMQ_KEEP_DATA'] === undefined) return;
  const folders = brokerIds.map((id) => [`broker-${id}`, path.join(fleet.diskFolder(id), 'partitions')] as const);
  for (const [name, folder] of [['logs', fleet.logFolder] as const, ...folders]) {
    try {
      fs.cpSync(folder, path.join(options.out, name), { recursive: true });
    } catch (error) {
      options.print(`${folder} could not be kept: ${(error as Error).message}`);
    }
  }
}
