/** The harness's end of a client: a process per run, so that no run inherits another's heap, code or connections. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { DriverSpec } from './client/driver.ts';
import type { LatencyJob } from './client/latency.ts';
import type { CallsJob, ClientAnswer, ClientRequest, ClientResult } from './client/main.ts';
import type { ThroughputJob } from './client/throughput.ts';
import type { ClosedLoopResult } from './closed-loop.ts';
import type { Workload } from './workload.ts';

const program = fileURLToPath(new URL('./client/main.ts', import.meta.url));
/** Of one step; a client that hangs is ended, and its case has failed. */
const stepTimeoutMs = 120_000;

export class ClientProcess implements AsyncDisposable {
  readonly pid: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.pid = child.pid ?? 0;
  }

  static async open(spec: DriverSpec): Promise<ClientProcess> {
    const client = new ClientProcess(fork(program, { execArgv: ['--disable-warning=ExperimentalWarning'] }));
    try {
      await client.#ask({ step: 'open', spec });
      return client;
    } catch (error) {
      await client[Symbol.asyncDispose]();
      throw error;
    }
  }

  async createTopic(topic: string, workload: Workload): Promise<void> {
    await this.#ask({ step: 'create', topic, workload });
  }

  async deleteTopic(topic: string, workload: Workload): Promise<void> {
    await this.#ask({ step: 'delete', topic, workload });
  }

  /** Seconds. */
  async produce(job: ThroughputJob): Promise<number> {
    return (await this.#ask({ step: 'produce', job })) as number;
  }

  /** Seconds. */
  async consume(job: ThroughputJob): Promise<number> {
    return (await this.#ask({ step: 'consume', job })) as number;
  }

  /** Microseconds of each record. */
  async latency(job: LatencyJob): Promise<number[]> {
    return (await this.#ask({ step: 'latency', job })) as number[];
  }

  async calls(job: CallsJob): Promise<ClosedLoopResult> {
    return (await this.#ask({ step: 'calls', job })) as ClosedLoopResult;
  }

  async close(): Promise<void> {
    await this.#ask({ step: 'close' });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }

  async #ask(request: ClientRequest): Promise<ClientResult> {
    const { promise, resolve, reject } = Promise.withResolvers<ClientAnswer>();
    const onEnd = (): void => reject(new Error(`the client ended during ${request.step}`));
    const timer = setTimeout(() => reject(new Error(`${request.step} took over ${stepTimeoutMs} ms`)), stepTimeoutMs);
    this.#child.once('message', resolve);
    this.#child.once('exit', onEnd);
    try {
      this.#child.send(request);
      const answer = await promise;
      if ('error' in answer) throw new Error(answer.error);
      return answer.result;
    } finally {
      clearTimeout(timer);
      this.#child.off('message', resolve);
      this.#child.off('exit', onEnd);
    }
  }
}
