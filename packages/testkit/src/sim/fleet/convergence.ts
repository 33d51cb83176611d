/**
 * What a fleet owes once all faults are over (P25): each partition takes writes again, then all replicas are in sync and equal,
 * then everything can be read. An operator helps: brokers with logs that have failed are started again. A partition whose last in-sync copy has rotted is lost, and nothing more is asked of it.
 */
import type { PartitionImage } from '@fleetmq/metadata';
import { isDomainError } from '@fleetmq/shared';
import type { Reference } from '../controllers/reference.ts';
import type { SimBrokers } from './brokers.ts';
import type { SimConsumer, SimProducer } from './clients.ts';
import type { FleetInvariants } from './invariants.ts';
import type { FleetWorld } from './world.ts';

export interface Phase {
  readonly name: string;
  /** Since the end of the faults. */
  readonly withinMs: number;
  begin(): void;
  /** What is not well yet. */
  wants(): string | undefined;
}

export interface ConvergenceParts {
  readonly brokers: SimBrokers;
  readonly invariants: FleetInvariants;
  readonly reference: Reference;
  readonly producers: readonly SimProducer[];
  readonly consumer: SimConsumer;
  readonly direct: SimConsumer;
}

const writableWithinMs = 20_000;
const lookEveryMs = 100;
const operatorEveryMs = 5_000;

export class Convergence {
  readonly #world: FleetWorld;
  readonly #parts: ConvergenceParts;
  readonly lost: Set<number> = new Set();
  readonly #restarted = new Set<number>();

  constructor(world: FleetWorld, parts: ConvergenceParts) {
    this.#world = world;
    this.#parts = parts;
  }

  phases(): readonly Phase[] {
    const { healMs } = this.#world.seed;
    const all = 'all replicas are in sync and equal within a bounded time';
    const written = new Set<number>();
    const read = new Set<string>();
    return [
      {
        name: 'each partition takes writes again within a bounded time',
        withinMs: writableWithinMs,
        begin: () => {
          this.#operate();
          for (const { partition } of this.#parts.invariants.partitions) void this.#write(partition, written);
        },
        wants: () => {
          const waiting = this.#partitions().filter(({ partition }) => !written.has(partition));
          return waiting.length === 0
            ? undefined
            : `no write to ${waiting.map((each) => this.#describe(each)).join('; ')}`;
        },
      },
      { name: all, withinMs: healMs, begin: () => undefined, wants: this.#rarely(() => this.#wantsOfReplicas()) },
      {
        name: 'everything can be read within a bounded time',
        withinMs: healMs + 30_000,
        begin: () => {
          const { consumer, direct } = this.#parts;
          if (this.lost.size > 0) return;
          void this.#read(consumer, read, 'by the gateway');
          void this.#read(direct, read, 'from the brokers');
        },
        wants: () => (read.size === 2 || this.lost.size > 0 ? undefined : `read to the end: ${[...read].join(', ')}`),
      },
    ];
  }

  #partitions(): readonly PartitionImage[] {
    return this.#parts.invariants.partitions.filter(({ partition }) => !this.lost.has(partition));
  }

  async #write(partition: number, written: Set<number>): Promise<void> {
    const producer = this.#parts.producers[0] as SimProducer;
    while (!written.has(partition) && this.#world.failure === undefined && !this.lost.has(partition)) {
      if (await producer.probe(partition)) written.add(partition);
    }
  }

  async #read(consumer: SimConsumer, read: Set<string>, how: string): Promise<void> {
    while (!read.has(how) && this.#world.failure === undefined) {
      try {
        await consumer.readAll();
        read.add(how);
      } catch (error) {
        if (!isDomainError(error)) throw error;
      }
    }
  }

  /** Starts brokers again that have dead logs, once: they would come back by themselves, but some of them only after a minute. */
  #operate(looks = 1): void {
    const { scheduler, counts, trace, seed } = this.#world;
    scheduler.time.after(operatorEveryMs, () => {
      if (looks > 1) this.#giveUpRotten();
      for (const seat of this.#parts.brokers.seats) {
        const failed = [...(seat.life?.node?.partitions.all() ?? [])].filter(({ failure }) => failure !== undefined);
        if (failed.length === 0 || this.#restarted.has(seat.id)) continue;
        this.#restarted.add(seat.id);
        counts.add('brokers that an operator started again');
        trace.note('operator restarts', [seat.id]);
        this.#parts.brokers.crash(seat, 'kill');
        this.#parts.brokers.start(seat);
      }
      if (this.#world.failure === undefined && scheduler.time.nowMs < seed.faultsMs + seed.healMs)
        this.#operate(looks + 1);
    });
  }

  /** Partitions whose only in-sync copy is still the one that has rotted: nobody can have the rest of it from there. */
  #giveUpRotten(): void {
    for (const { partition, inSyncReplicas } of this.#partitions()) {
      if (!inSyncReplicas.every((id) => this.#parts.brokers.seat(id).isDamaged)) continue;
      this.#world.counts.add('partitions lost with a rotten disk');
      this.lost.add(partition);
    }
  }

  #wantsOfReplicas(): string | undefined {
    const { reference, brokers, producers } = this.#parts;
    const away = reference.image.brokers().find(({ state }) => state !== 'active');
    if (away !== undefined) return `broker ${away.brokerId} is ${away.state}`;
    if (producers.some(({ isIdle }) => !isIdle)) return 'a producer waits for an answer';
    for (const image of this.#partitions()) {
      if (image.move !== undefined || image.leaderId === 0 || image.inSyncReplicas.length < image.replicas.length) {
        return this.#describe(image);
      }
      const ends = image.replicas.map((id) => {
        const replica = brokers.seat(id).life?.node?.partitions.find(image.topicId, image.partition);
        return replica?.failure === undefined ? [replica?.log?.endOffset, replica?.state.highWatermark] : [];
      });
      const [end] = ends[0] ?? [];
      if (!ends.flat().every((each) => each === end) || end === undefined || ends.some(({ length }) => length === 0)) {
        return `${this.#describe(image)}: ends and watermarks ${JSON.stringify(ends)}`;
      }
    }
    return undefined;
  }

  #rarely(wants: () => string | undefined): () => string | undefined {
    let atMs = 0;
    let last: string | undefined = 'nobody has looked yet';
    return () => {
      const { nowMs } = this.#world.scheduler.time;
      if (nowMs < atMs) return last;
      atMs = nowMs + lookEveryMs;
      last = wants();
      return last;
    };
  }

  #describe({ topicId, partition, leaderId, leaderEpoch, replicas, inSyncReplicas, move }: PartitionImage): string {
    const ends = this.#parts.brokers.seats.map(({ id, life }) => {
      const replica = life?.node?.partitions.find(topicId, partition);
      const { log, state, failure } = replica ?? {};
      return `${id}: ${state?.role} ${log?.durableEndOffset}/${log?.endOffset} hw ${state?.highWatermark} ${failure?.code ?? ''}`;
    });
    const moving = move === undefined ? '' : ', moving';
    return `partition ${partition}, leader ${leaderId} of epoch ${leaderEpoch}, replicas ${replicas}, in sync ${inSyncReplicas}${moving} (${ends.join(', ')})`;
  }
}
