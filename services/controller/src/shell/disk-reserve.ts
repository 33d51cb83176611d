/**
 * Keeps room on the disk for what must go on when it is full: votes, hand-overs, the entries of other leaders. Ordinary
 * commands are refused with DISK_FULL before the reserve is touched (P22). Measured now and then, off the path of commands.
 * A leader that has to refuse them hands over to one that may have room, and tries again as long as it has none and leads.
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
  /** Another controller leads when it resolves, if this one did. It may fail. */
  readonly handOver: () => Promise<void>;
}

/** Where nobody has room the leadership must not go round all the time. */
const checksPerHandOver = 5;

export class DiskReserve implements Disposable {
  readonly #options: DiskReserveOptions;
  readonly #ticker: Timer;
  #freeBytes = Number.POSITIVE_INFINITY;
  #isChecking = false;
  /** In a row. */
  #lowChecks = 0;

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
    if (!this.#isLow) return undefined;
    const text = `the controller's disk has ${this.#freeBytes} bytes left, and ${reserveBytes} are kept in reserve`;
    return new DomainError('DISK_FULL', text, { retryAfterMs: 2_000 });
  }

  async check(): Promise<void> {
    if (this.#isChecking) return;
    this.#isChecking = true;
    try {
      this.#freeBytes = await this.#options.disk.freeBytes();
      this.#lowChecks = this.#isLow ? this.#lowChecks + 1 : 0;
      if (this.#lowChecks % checksPerHandOver === 1) await this.#handOver();
    } catch (error) {
      this.#options.logger.warn({ error }, 'cannot measure the free space of the disk');
    } finally {
      this.#isChecking = false;
    }
  }

  get #isLow(): boolean {
    return this.#freeBytes < this.#options.reserveBytes;
  }

  async #handOver(): Promise<void> {
    const { handOver, logger } = this.#options;
    logger.warn({ freeBytes: this.#freeBytes }, 'the disk is nearly full: ordinary commands are refused');
    try {
      await handOver();
    } catch (error) {
      logger.info({ error }, 'nobody took over from a leader with a full disk');
    }
  }
}
