/**
 * One run of one case: a client of its own, a warm-up that is not counted, the phases, and what they cost whom. Each phase notes
 * how much of the machine others used meanwhile.
 */
import { unreachable } from '@fleetmq/shared';
import type { BenchCase, PhaseName } from './bench-case.ts';
import type { DriverSpec } from './client/driver.ts';
import type { LatencyJob } from './client/latency.ts';
import type { CallsJob } from './client/main.ts';
import type { ThroughputJob } from './client/throughput.ts';
import { ClientProcess } from './client-process.ts';
import { type Disturbance, disturbance, type MachineTime, machineTime } from './machine.ts';
import { evict, settleDisk } from './page-cache.ts';
import { cpuSeconds, forgetPeak, peakMb } from './processes.ts';
import type { Target } from './targets/target.ts';

export interface PhaseFigures extends Disturbance {
  readonly perSecond: number;
  /** Processor time per record or call, in microseconds: all servers together, and the client. */
  readonly serverUs: number;
  readonly clientUs: number;
}

export interface RunFigures {
  readonly phases: Partial<Readonly<Record<PhaseName, PhaseFigures>>>;
  /** Of each record, where latency is measured. */
  readonly latenciesUs: readonly number[];
  /** The most memory that a broker had (VmHWM); the largest one, if there are several. */
  readonly peakMb: number;
}

export interface RunSize {
  /** Records of a run for throughput. */
  readonly count: number;
  /** Records before it that are not counted; 0: none. */
  readonly warmUp: number;
  /** Length of a run for latency or calls. */
  readonly seconds: number;
}

/** What a phase came to; its processor time is divided by `records`. */
interface PhaseOutcome {
  readonly perSecond: number;
  readonly records: number;
}

let topics = 0;

export async function runCase(
  bench: BenchCase,
  target: Target,
  driver: DriverSpec,
  size: RunSize,
): Promise<RunFigures> {
  await using client = await ClientProcess.open(driver);
  if (bench.measure.kind !== 'calls' && size.warmUp > 0) {
    await withTopic(client, bench, async (topic) => {
      const job = { topic, workload: bench.workload, count: size.warmUp };
      await client.produce(job);
      await client.consume(job);
    });
  }
  const run = new Run(bench, target, client);
  await withTopic(client, bench, (topic) => run.measure(topic, size));
  await client.close();
  await settleDisk(target.dataFolder);
  return run.figures();
}

async function withTopic(
  client: ClientProcess,
  bench: BenchCase,
  work: (topic: string) => Promise<void>,
): Promise<void> {
  const topic = `${bench.name}-${++topics}`;
  await client.createTopic(topic, bench.workload);
  await work(topic);
  await client.deleteTopic(topic, bench.workload);
}

class Run {
  readonly #bench: BenchCase;
  readonly #target: Target;
  readonly #client: ClientProcess;
  readonly #phases: Partial<Record<PhaseName, PhaseFigures>> = {};
  #latenciesUs: readonly number[] = [];

  constructor(bench: BenchCase, target: Target, client: ClientProcess) {
    this.#bench = bench;
    this.#target = target;
    this.#client = client;
    for (const server of target.processes) forgetPeak(server);
  }

  figures(): RunFigures {
    const peaks = this.#target.processes.filter(({ isBroker }) => isBroker).map(peakMb);
    return { phases: this.#phases, latenciesUs: this.#latenciesUs, peakMb: Math.max(...peaks) };
  }

  async measure(topic: string, size: RunSize): Promise<void> {
    const { measure, workload } = this.#bench;
    switch (measure.kind) {
      case 'throughput':
        return await this.#throughput({ topic, workload, count: size.count }, measure.cold);
      case 'latency':
        return await this.#latency({ topic, workload, perSecond: measure.perSecond, seconds: size.seconds });
      case 'calls':
        return await this.#calls({ topic, workload, callers: measure.callers, seconds: size.seconds });
      default:
        return unreachable(measure);
    }
  }

  async #throughput(job: ThroughputJob, isCold: boolean): Promise<void> {
    const records = job.count;
    const rated = (seconds: number): PhaseOutcome => ({ perSecond: records / seconds, records });
    await this.#phase('produce', async () => rated(await this.#client.produce(job)));
    await this.#phase('consume', async () => rated(await this.#client.consume(job)));
    if (isCold && (await evict(this.#target.dataFolder))) {
      await this.#phase('cold', async () => rated(await this.#client.consume(job)));
    }
  }

  async #latency(job: LatencyJob): Promise<void> {
    await this.#phase('latency', async () => {
      this.#latenciesUs = await this.#client.latency(job);
      return { perSecond: job.perSecond, records: this.#latenciesUs.length };
    });
  }

  async #calls(job: CallsJob): Promise<void> {
    await this.#phase('calls', async () => {
      const { perSecond } = await this.#client.calls(job);
      return { perSecond, records: perSecond * job.seconds };
    });
  }

  async #phase(name: PhaseName, work: () => Promise<PhaseOutcome>): Promise<void> {
    const before = this.#times();
    const { perSecond, records } = await work();
    const after = this.#times();
    const serverSeconds = after.server - before.server;
    const clientSeconds = after.client - before.client;
    this.#phases[name] = {
      perSecond,
      serverUs: (serverSeconds * 1e6) / records,
      clientUs: (clientSeconds * 1e6) / records,
      ...disturbance(before.machine, after.machine, serverSeconds + clientSeconds + after.harness - before.harness),
    };
  }

  #times(): { machine: MachineTime; server: number; client: number; harness: number } {
    return {
      machine: machineTime(),
      server: this.#target.processes.reduce((sum, each) => sum + cpuSeconds(each), 0),
      client: cpuSeconds(this.#client),
      harness: cpuSeconds(process),
    };
  }
}
