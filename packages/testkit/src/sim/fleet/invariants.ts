/**
 * What must hold at every moment of a run of a fleet, whatever fails (docs/simulation.md has the list). Fed by a look at all
 * brokers after events, by what clients are told, and by the disks themselves. Nothing in here changes what is observed.
 */
import type { BrokerNode, Replica } from '@fleetmq/broker/sim';
import type { PartitionImage } from '@fleetmq/metadata';
import type { Reference } from '../controllers/reference.ts';
import type { BrokerSeat } from './broker-seat.ts';
import { CommittedLog } from './committed.ts';
import type { SimAcks } from './seed.ts';
import type { FleetWorld } from './world.ts';

/** Every so many events in-sync replicas are looked at. */
const isrLookEvery = 4;
/** And so often the disks of all brokers. */
const compareEveryMs = 2_000;

/** What was seen last of a replica in this life of its broker. */
interface SeenReplica {
  highWatermark: number;
  endOffset: number;
  /** Up to here it was compared with the committed log. */
  compared: number;
  epoch: number;
  /** It led: what it called committed may have grown since, in the very event that ended that. */
  leads: boolean;
}

export class FleetInvariants {
  readonly #world: FleetWorld;
  readonly #reference: Reference;
  readonly #seats: () => readonly BrokerSeat[];
  readonly #logs = new Map<string, CommittedLog>();
  readonly #seen = new WeakMap<Replica, SeenReplica>();
  readonly #leaders = new Map<string, number>();
  /** Of the metadata that was looked at last. */
  #partitions = new Map<string, PartitionImage>();
  #version = -1;
  #looks = 0;
  #compareAtMs = compareEveryMs;

  constructor(world: FleetWorld, reference: Reference, seats: () => readonly BrokerSeat[]) {
    this.#world = world;
    this.#reference = reference;
    this.#seats = seats;
  }

  started(_seat: BrokerSeat, _node: BrokerNode): void {}

  /** Compared while its memory still says what it had called committed. */
  ended(seat: BrokerSeat): void {
    this.#compareSeat(seat);
  }

  /** Partitions of topics, as they are committed at the controllers. */
  get partitions(): readonly PartitionImage[] {
    return [...this.#partitions.values()];
  }

  committedEnd(topicId: string, partition: number): number {
    return this.#logOf(topicId, partition).highWatermark;
  }

  /** After every event. */
  look(): void {
    this.#looks++;
    this.#lookAtMetadata();
    for (const seat of this.#seats()) {
      const node = seat.life?.node;
      if (node === undefined) continue;
      for (const replica of node.partitions.all()) this.#lookAtReplica(seat, replica);
    }
    if (this.#looks % isrLookEvery === 0) this.#lookAtIsrs();
    const { nowMs } = this.#world.scheduler.time;
    if (nowMs < this.#compareAtMs) return;
    this.#compareAtMs = nowMs + compareEveryMs;
    this.compare();
  }

  /** What replicas have on their disks below their watermarks. */
  compare(): void {
    for (const seat of this.#seats()) this.#compareSeat(seat);
  }

  /** A client was told that its record is there. */
  acknowledged(partition: number, offset: number, acks: SimAcks): void {
    if (acks === 'leader') return;
    const image = this.partitions.find((each) => each.partition === partition);
    if (image === undefined) return;
    const replicas = this.#replicasOf(image);
    const end = this.committedEnd(image.topicId, partition);
    if (offset >= end) {
      this.#fail('what is acknowledged is committed', `partition ${partition}: ${offset}, committed up to ${end}`);
    }
    const durable = replicas.filter(({ replica }) => (replica.log?.durableEndOffset ?? 0) > offset).length;
    const unknown = image.replicas.length - replicas.length;
    const needed = Math.floor(image.replicas.length / 2) + 1;
    if (acks === 'majority' && durable + unknown < needed && image.move === undefined) {
      this.#fail('what is acknowledged is durable on a majority', `partition ${partition}: ${offset} on ${durable}`);
    }
  }

  /** Of a partition, with logs that are open and have not failed. */
  #replicasOf({
    topicId,
    partition,
    replicas,
  }: PartitionImage): { readonly seat: BrokerSeat; readonly replica: Replica }[] {
    const found: { readonly seat: BrokerSeat; readonly replica: Replica }[] = [];
    for (const seat of this.#seats()) {
      if (!replicas.some((id) => id === seat.id)) continue;
      const replica = seat.life?.node?.partitions.find(topicId, partition);
      if (replica?.log !== undefined && replica.failure === undefined) found.push({ seat, replica });
    }
    return found;
  }

  #lookAtReplica(seat: BrokerSeat, replica: Replica): void {
    const { log, state } = replica;
    const seen = this.#seen.get(replica);
    if (seen?.leads === true || state.leader !== undefined) this.#noteWatermark(replica);
    if (log === undefined || replica.failure !== undefined) {
      this.#lookAtFailure(seat, replica);
      return;
    }
    const { endOffset } = log;
    const { highWatermark, leader, leaderEpoch } = state;
    const leads = leader !== undefined;
    if (seen === undefined) {
      this.#seen.set(replica, { highWatermark, endOffset, compared: 0, epoch: leaderEpoch, leads });
    } else {
      if (highWatermark < seen.highWatermark) {
        this.#fail('a watermark never falls', `${where(seat, replica)}: ${seen.highWatermark}, then ${highWatermark}`);
      }
      if (endOffset < seen.endOffset) {
        this.#world.counts.add('truncations');
        seen.compared = Math.min(seen.compared, endOffset);
        this.#world.trace.note('truncated', [seat.id, replica.partition, seen.endOffset, endOffset]);
      }
      if (leaderEpoch < seen.epoch) {
        this.#fail('the epoch of a replica never falls', `${where(seat, replica)}: ${seen.epoch}, then ${leaderEpoch}`);
      }
      Object.assign(seen, { highWatermark, endOffset, epoch: leaderEpoch, leads });
    }
    if (highWatermark > endOffset) {
      this.#fail('a watermark is inside of its log', `${where(seat, replica)}: ${highWatermark} of ${endOffset}`);
    }
    if (leader === undefined) return;
    const key = `${replica.topicId}/${replica.partition} ${leaderEpoch}`;
    const known = this.#leaders.get(key);
    if (known === undefined) {
      this.#leaders.set(key, seat.id);
      this.#world.counts.add('leaders that began');
      this.#world.trace.note('leads partition', [seat.id, replica.partition, leaderEpoch]);
    } else if (known !== seat.id) {
      this.#fail('one leader per leader epoch', `${key}: broker ${known} and broker ${seat.id}`);
    }
  }

  /** Logs fail because of their disks; a log that refuses its leader says that committed records are missing. */
  #lookAtFailure(seat: BrokerSeat, replica: Replica): void {
    const { failure } = replica;
    if (failure === undefined || this.#seen.get(replica)?.epoch === -1) return;
    this.#world.counts.add(`logs that failed: ${failure.code}`);
    this.#seen.set(replica, { highWatermark: 0, endOffset: 0, compared: 0, epoch: -1, leads: false });
    if (failure.code === 'STORAGE_FAILED' || seat.isDamaged) return;
    this.#fail('no log is found damaged on a disk that is whole', `${where(seat, replica)}: ${failure.message}`);
  }

  #noteWatermark({ topicId, partition, state }: Replica): void {
    const log = this.#logOf(topicId, partition);
    if (state.highWatermark > log.highWatermark) log.highWatermark = state.highWatermark;
  }

  /** Whoever may lead next has all that is committed. */
  #lookAtIsrs(): void {
    for (const image of this.#partitions.values()) {
      const end = this.committedEnd(image.topicId, image.partition);
      for (const { seat, replica } of this.#replicasOf(image)) {
        if (![...image.inSyncReplicas, ...(image.eligibleReplicas ?? [])].some((id) => id === seat.id)) continue;
        const durable = replica.log?.durableEndOffset ?? 0;
        if (durable >= end) continue;
        const text = `${where(seat, replica)}: durable up to ${durable}, committed up to ${end}`;
        this.#fail('whoever may lead has all that is committed', text);
      }
    }
  }

  #lookAtMetadata(): void {
    const { image } = this.#reference;
    if (image.version === this.#version) return;
    this.#version = image.version;
    const { counts, trace } = this.#world;
    const partitions = new Map<string, PartitionImage>();
    for (const topic of image.topics()) {
      for (const after of image.partitions(topic.topicId)) {
        const key = `${after.topicId}/${after.partition}`;
        partitions.set(key, after);
        const before = this.#partitions.get(key);
        if (before === undefined || before.partitionEpoch === after.partitionEpoch) continue;
        if (after.leaderId !== before.leaderId)
          counts.add(after.leaderId === 0 ? 'partitions without a leader' : 'leaders elected');
        const left = before.inSyncReplicas.filter((id) => !after.inSyncReplicas.includes(id)).length;
        const joined = after.inSyncReplicas.filter((id) => !before.inSyncReplicas.includes(id)).length;
        if (left > 0) counts.add('ISR shrinks');
        if (joined > 0) counts.add('ISR expands');
        if (after.move === undefined && before.move !== undefined) counts.add('partitions moved');
        trace.note('partition', [after.partition, after.leaderId, after.leaderEpoch, ...after.inSyncReplicas]);
      }
    }
    this.#partitions = partitions;
  }

  #compareSeat(seat: BrokerSeat): void {
    const node = seat.life?.node;
    if (node === undefined) return;
    for (const replica of node.partitions.all()) {
      const seen = this.#seen.get(replica);
      if (seen === undefined || replica.log === undefined || replica.failure !== undefined || replica.isBusy) continue;
      const from = Math.max(seen.compared, replica.log.startOffset);
      const compared = this.#logOf(replica.topicId, replica.partition).compare(
        replica,
        seat.memory,
        from,
        seat.isDamaged,
      );
      if (typeof compared === 'number') seen.compared = compared;
      else this.#fail('replicas are equal below their watermarks', `${where(seat, replica)}: ${compared}`);
    }
  }

  #logOf(topicId: string, partition: number): CommittedLog {
    const key = `${topicId}/${partition}`;
    let log = this.#logs.get(key);
    if (log === undefined) {
      log = new CommittedLog();
      this.#logs.set(key, log);
    }
    return log;
  }

  #fail(name: string, text: string): void {
    this.#world.fail('safety', name, text);
  }
}

function where(seat: BrokerSeat, { name }: Replica): string {
  return `broker ${seat.id}, ${name}`;
}
