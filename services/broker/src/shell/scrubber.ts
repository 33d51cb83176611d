/**
 * Reads every log from its start to its end, slowly and again and again, so that a byte that has changed on the disk is found
 * while another replica has the right one: the replica then is rebuilt from there, and a last copy is reported. A log that
 * is read verifies each frame. Bounded: one read at a time, of at most `pieceBytes`.
 */
import { type Clock, isDomainError, type Logger, type Offset, type Random } from '@fleetmq/shared';
import { Chore } from './chore.ts';
import type { Partitions } from './partitions.ts';
import type { Replica } from './replica.ts';

export interface ScrubberOptions {
  readonly partitions: Partitions;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Read between two ticks. 0: nothing is read. */
  readonly bytesPerTick: number;
  /** From the start of one round over all logs to that of the next, at least. */
  readonly roundMs: number;
  readonly onRead: (bytes: number) => void;
  readonly onDamage: () => void;
}

interface Place {
  readonly replica: Replica;
  offset: Offset;
}

const pieceBytes = 1024 * 1024;

export class Scrubber {
  readonly #options: ScrubberOptions;
  /** What is left of this round, the next one last. */
  #left: Replica[] = [];
  #place: Place | undefined;
  #nextRoundMs = 0;
  readonly #chore: Chore = new Chore(() => this.#read());

  constructor(options: ScrubberOptions) {
    this.#options = options;
  }

  /** Nothing is read before this time of the monotonic clock: one round is done, and it is too early for the next. */
  get restsUntilMs(): number {
    return this.#place === undefined && this.#left.length === 0 ? this.#nextRoundMs : 0;
  }

  /** To be called periodically, but for times of rest. */
  tick(): void {
    this.#chore.tick();
  }

  stop(): Promise<void> {
    return this.#chore.stop();
  }

  async #read(): Promise<void> {
    let bytes = 0;
    while (!this.#chore.isStopped && bytes < this.#options.bytesPerTick) {
      this.#place ??= this.#nextPlace();
      if (this.#place === undefined) return;
      bytes += await this.#readPiece(this.#place);
    }
  }

  #nextPlace(): Place | undefined {
    if (this.#left.length === 0 && !this.#beginRound()) return undefined;
    const replica = this.#left.pop();
    return replica?.log === undefined ? undefined : { replica, offset: replica.log.startOffset };
  }

  /** Each begins somewhere else, so that a broker that is restarted often does not read the same logs every time. */
  #beginRound(): boolean {
    const { partitions, clock, random, roundMs } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs < this.#nextRoundMs) return false;
    this.#nextRoundMs = nowMs + roundMs;
    const all = [...partitions.all()];
    const first = Math.floor(random.next() * all.length);
    this.#left = [...all.slice(first), ...all.slice(0, first)];
    return all.length > 0;
  }

  /** The number of bytes that were read; ends the place when there is no more of it. */
  async #readPiece(place: Place): Promise<number> {
    const { replica } = place;
    const { log } = replica;
    this.#place = undefined;
    if (log === undefined || replica.failure !== undefined) return 0;
    const from = Math.max(place.offset, log.startOffset) as Offset;
    if (from >= log.durableEndOffset) return 0;
    try {
      const { bytes, nextOffset, lease } = await log.read({
        from,
        upTo: log.durableEndOffset,
        maxBytes: pieceBytes,
      });
      lease?.release();
      this.#options.onRead(bytes.length);
      if (bytes.length > 0) this.#place = { replica, offset: nextOffset };
      return bytes.length;
    } catch (error) {
      this.#onFailure(replica, from, error);
      return 0;
    }
  }

  #onFailure(replica: Replica, offset: Offset, error: unknown): void {
    if (!isDomainError(error)) throw error;
    // The log was cut, or closed, behind its back.
    if (error.code === 'OFFSET_OUT_OF_RANGE' || error.code === 'SHUTTING_DOWN') return;
    const { logger, onDamage } = this.#options;
    logger.error({ partition: replica.name, offset, error }, 'a log that nobody was reading is damaged');
    onDamage();
    replica.onReadFailure(error);
  }
}
