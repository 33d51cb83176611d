/**
 * Keeps room on the disk for what must go on when it is full: votes, hand-overs, the entries of other leaders. Ordinary
 * commands are refused with DISK_FULL before the reserve is touched (P22). Measured now and then, off the path of commands.
 */
import { type Disk, DomainError, type Logger, type Timer, type Timers } from '@fleetmq/shared';

export interface DiskReserveOptions {
  readonly disk: Pick<Disk, 'freeBytes'>;
  readonly timers: Timers;
  readonly logger: Logger;
  /** Default 64 MiB. */
  readonly reserveBytes: number;
  /** Default 2 s. */
  readonly checkMs?: number;
}

export class DiskReserve implements Disposable {
  readonly #options: DiskReserveOptions;
  readonly #ticker: Timer;
  #freeBytes = Number.POSITIVE_INFINITY;
  #isChecking = false;

  constructor(options: DiskReserveOptions) {
    this.#options = options;
    this.#ticker = options.timers.every(options.checkMs ?? 2_000, () => void this.check());
  }

  [Symbol.dispose](): void {
    this.#ticker.cancel();
  }

  /** Why ordinary commands are refused now, if they are. */
  refusal(): DomainError | undefined {
    const { reserveBytes } = this.#options;
    if (this.#freeBytes >= reserveBytes) return undefined;
    const text = `the controller's disk has ${this.#freeBytes} bytes left, and ${reserveBytes} are kept in reserve`;
    return new DomainError('DISK_FULL', text, { retryAfterMs: 2_000 });
  }

  async check(): Promise<void> {
    if (this.#isChecking) return;
    this.#isChecking = true;
    try {
      this.#freeBytes = await this.#options.disk.freeBytes();
    } catch (error) {
      this.#options.logger.warn({ error }, 'cannot measure the free space of the disk');
    } finally {
      this.#isChecking = false;
    }
  }
}
