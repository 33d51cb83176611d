/** The process of the hostile callers, as the test sees it; and what a process of the fleet takes meanwhile. */
import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { HostileOrder, HostileReport } from './tally.ts';

export class HostileCallers implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  constructor() {
    this.#child = fork(fileURLToPath(new URL('./worker.ts', import.meta.url)));
    this.#ended = new Promise((resolve) => this.#child.once('exit', resolve));
  }

  /** The kinds of hostile callers there are. To be called once, at the beginning. */
  kinds(): Promise<readonly string[]> {
    return this.#answer<readonly string[]>();
  }

  /** Lets one kind loose; resolves when its time is over. */
  async run(order: HostileOrder): Promise<HostileReport> {
    const answer = this.#answer<HostileReport | { readonly failure: string }>();
    this.#child.send(order);
    const report = await answer;
    if ('failure' in report) throw new Error(report.failure);
    return report;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    await this.#ended;
  }

  #answer<Answer>(): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const end = (): void => reject(new Error('the process of the hostile callers has ended'));
      this.#child.once('exit', end);
      this.#child.once('message', (message) => {
        this.#child.off('exit', end);
        resolve(message as Answer);
      });
    });
  }
}

/** Watches the resident memory of a process. */
export class MemoryWatch implements Disposable {
  readonly #pid: number;
  readonly #timer: NodeJS.Timeout;
  #peakMb = 0;

  constructor(pid: number) {
    this.#pid = pid;
    this.#timer = setInterval(() => this.#look(), 100);
  }

  /** The most since the last time. */
  takePeakMb(): number {
    this.#look();
    const peakMb = this.#peakMb;
    this.#peakMb = 0;
    return peakMb;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${this.#pid}/status`, 'utf8'));
    this.#peakMb = Math.max(this.#peakMb, Number(line?.[1] ?? 0) / 1024);
  }
}
