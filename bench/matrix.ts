/**
 * Runs cases, target against target. The targets of a stage are all up while it lasts; each round takes every case once, in
 * order (A, B, C, A, B, C ...), so that whatever drifts meets all alike. A round before them, which is not counted, warms the
 * servers, finds out how many records make a run of the wanted length, and which of an entrance's clients is the fastest.
 *
 * A target that is not available is skipped with its reason, a case that fails is reported as failed; the others go on.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { BenchCase } from './bench-case.ts';
import type { DriverSpec } from './client/driver.ts';
import { type RunFigures, type RunSize, runCase } from './run.ts';
import { say } from './say.ts';
import { quantile } from './statistics.ts';
import { NotAvailable, type StartTarget, type Target } from './targets/target.ts';

export interface Stage {
  readonly targets: Readonly<Record<string, StartTarget>>;
  readonly cases: readonly BenchCase[];
}

export interface MatrixOptions {
  readonly folder: string;
  readonly runs: number;
  /** Of a run's length; 1: about one and a half seconds of writing, six of latency. */
  readonly scale: number;
  /** False: no round to find out how fast things are; runs have a length that is guessed, and are less comparable. */
  readonly calibrates: boolean;
  /** Asked after each round; true ends the stage before all rounds are done. Default: never. */
  readonly isEnough?: (results: readonly CaseResult[]) => boolean;
}

export interface CaseResult {
  readonly bench: BenchCase;
  /** Absent when it was skipped or failed before it was known. */
  readonly version: string | undefined;
  readonly durability: string | undefined;
  readonly driver: DriverSpec['kind'] | undefined;
  /** Records of a run. */
  readonly count: number;
  readonly runs: readonly RunFigures[];
  /** Why there are no figures, or fewer. */
  readonly problem: { readonly kind: 'skipped' | 'failed'; readonly reason: string } | undefined;
}

const produceSeconds = 1.5;
const latencySeconds = 6;
const callSeconds = 4;
/** Of writing, when a client is chosen. */
const trialSeconds = 0.5;
/** Bytes and records of the longest run at scale 1. */
const bytesMax = 800e6;
const countMax = 4_000_000;
/** Of the shortest one: so many records, or of large ones so many bytes. */
const countMin = 2_000;
const bytesMin = 16e6;

export async function runStage(stage: Stage, options: MatrixOptions): Promise<CaseResult[]> {
  await using stack = new AsyncDisposableStack();
  const targets = new Map<string, Target | NotAvailable>();
  for (const name of new Set(stage.cases.map(({ target }) => target))) {
    targets.set(name, await startTarget(name, stage.targets[name] as StartTarget, options.folder, stack));
  }
  const trials = stage.cases.map((bench) => new Trial(bench, targets.get(bench.target) as Target | NotAvailable));
  say('warm-up');
  for (const trial of trials) await trial.prepare(options);
  for (let round = 1; round <= options.runs; round++) {
    say(`round ${round} of ${options.runs}`);
    for (const trial of trials) await trial.run();
    if (options.isEnough?.(trials.map((trial) => trial.result())) === true) break;
  }
  return trials.map((trial) => trial.result());
}

async function startTarget(
  name: string,
  start: StartTarget,
  folder: string,
  stack: AsyncDisposableStack,
): Promise<Target | NotAvailable> {
  const own = join(folder, name);
  await mkdir(own, { recursive: true });
  say(`starting ${name}`);
  try {
    return stack.use(await start(own));
  } catch (error) {
    if (!(error instanceof NotAvailable)) throw error;
    say(`${name} is skipped: ${error.message}`);
    return error;
  }
}

/** Of the runs that choose a client: records, and how often each has its turn. */
interface TrialBounds {
  readonly least: number;
  readonly most: number;
  readonly turns: number;
}

/** A case on its way: which client, how many records, what has come out. */
class Trial {
  readonly #bench: BenchCase;
  readonly #target: Target | undefined;
  readonly #runs: RunFigures[] = [];
  #driver: DriverSpec | undefined;
  #size: RunSize = { count: 0, warmUp: 0, seconds: 0 };
  #problem: CaseResult['problem'];

  constructor(bench: BenchCase, target: Target | NotAvailable) {
    this.#bench = bench;
    if (target instanceof NotAvailable) this.#problem = { kind: 'skipped', reason: target.message };
    else this.#target = target;
  }

  /** Chooses the client, and how long a run is. */
  async prepare({ scale, calibrates }: MatrixOptions): Promise<void> {
    const { measure, entrance, workload } = this.#bench;
    const most = Math.ceil(Math.min(countMax, bytesMax / workload.size) * scale);
    const least = Math.ceil(Math.min(countMin, bytesMin / workload.size));
    const drivers = this.#target?.entrances[entrance]?.drivers ?? [];
    if (this.#target !== undefined && drivers.length === 0) {
      this.#problem = { kind: 'skipped', reason: `the target has no entrance ${entrance} here` };
    }
    let count = most;
    if (drivers.length > 1 || calibrates) {
      const perSecond = await this.#findFastest(drivers, { least, most, turns: calibrates ? 2 : 1 });
      count = Math.min(most, perSecond * produceSeconds * scale);
    } else {
      this.#driver = drivers[0];
    }
    count = Math.ceil(Math.max(least, count));
    const seconds = Math.max(2, (measure.kind === 'calls' ? callSeconds : latencySeconds) * scale);
    // Half as much again, so that the code is compiled and the memory in use that a program which runs for long has.
    this.#size = { count, warmUp: Math.min(count, Math.max(least, Math.ceil(count / 2))), seconds };
  }

  /**
   * Records per second that the fastest client writes; 0 where that is not what is measured. The first turn is short, with cold
   * servers, and tells how long the second one may be, which is warm: a rate that is guessed too low makes runs too short.
   */
  async #findFastest(drivers: readonly DriverSpec[], { least, most, turns }: TrialBounds): Promise<number> {
    const rates = new Map<DriverSpec, number>();
    let best = Number.NEGATIVE_INFINITY;
    let perSecond = 0;
    for (const driver of Array.from({ length: turns }, () => drivers).flat()) {
      const known = rates.get(driver);
      const wanted = known === undefined ? most / 100 : Math.min(known * trialSeconds, most / 10);
      const count = Math.ceil(Math.max(least, wanted));
      const warmUp = known === undefined ? 0 : Math.ceil(Math.max(least, count / 2));
      await this.#attempt(async (target) => {
        const figures = await runCase(this.#bench, target, driver, { count, warmUp, seconds: 1 });
        const rate = figures.phases.produce?.perSecond ?? 0;
        rates.set(driver, rate);
        const score = scoreOf(figures);
        if (score <= best) return;
        best = score;
        perSecond = rate;
        this.#driver = driver;
      });
    }
    if (this.#driver !== undefined) this.#problem = undefined;
    return perSecond;
  }

  async run(): Promise<void> {
    const driver = this.#driver;
    if (driver === undefined || this.#problem !== undefined) return;
    await this.#attempt(async (target) => {
      this.#runs.push(await runCase(this.#bench, target, driver, this.#size));
    });
  }

  result(): CaseResult {
    const { measure, entrance } = this.#bench;
    return {
      bench: this.#bench,
      version: this.#target?.version,
      durability: this.#target?.entrances[entrance]?.durability,
      driver: this.#driver?.kind,
      count: measure.kind === 'throughput' ? this.#size.count : 0,
      runs: this.#runs,
      problem: this.#problem,
    };
  }

  async #attempt(work: (target: Target) => Promise<void>): Promise<void> {
    if (this.#target === undefined) return;
    const startMs = performance.now();
    try {
      await work(this.#target);
      say(`  ${this.#bench.name}: ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      say(`  ${this.#bench.name} has failed: ${reason}`);
      this.#problem = { kind: 'failed', reason: reason.split('\n', 1)[0] ?? '' };
    }
  }
}

/** By which the better of two clients is known. */
function scoreOf({ phases, latenciesUs }: RunFigures): number {
  if (phases.latency !== undefined) return -quantile(latenciesUs, 0.5);
  if (phases.calls !== undefined) return phases.calls.perSecond;
  // Records per second of writing and reading, one after the other.
  return 1 / (1 / (phases.produce?.perSecond ?? 0) + 1 / (phases.consume?.perSecond ?? 0));
}
