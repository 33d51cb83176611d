/**
 * The one history that all nodes must agree on: every committed entry, applied once, in order, to a state machine of its
 * own. Nodes are compared with it, entry by entry and state by state; so are the metadata that watchers hold.
 *
 * Beside the comparison it checks, by rules written down here a second time, that each command was entitled to what it did
 * (P10, P11: epochs compared, leaders from the ISR, or with all committed records, alone), since a wrong rule would be wrong on all nodes alike.
 */
import {
  type ControllerNode,
  decodeCommand,
  encodeImage,
  type MetadataCommand,
  StateMachine,
  splitEntryData,
} from '@fleetmq/controller/sim';
import { type BrokerImage, MetadataImage, type PartitionImage } from '@fleetmq/metadata';
import { decodeConfChange, type Entry, emptyConfState, leaveJointChange } from '@fleetmq/raft';
import type { LogIndex, Term } from '@fleetmq/shared';
import { nodeChecksum } from '@fleetmq/shared/runtime';
import { Configurations, type Membership } from './configurations.ts';
import type { World } from './world.ts';

type Fail = (name: string, text: string) => void;
type Outcome = Parameters<NonNullable<Parameters<StateMachine['addListener']>[0]['onApplied']>>[1];

const firstIndex = 1;

/** The metadata of one moment, whose values nobody changes; checksums are made when somebody asks. */
class State {
  readonly version: number;
  readonly membership: Membership;
  readonly #snapshot: ReturnType<MetadataImage['snapshot']>;
  #crc: number | undefined;
  #imageCrc: number | undefined;

  constructor(image: MetadataImage, membership: Membership) {
    this.version = image.version;
    this.membership = membership;
    this.#snapshot = image.snapshot();
  }

  /** Of all that is in a snapshot of the controllers. */
  get crc(): number {
    this.#crc ??= nodeChecksum.crc32(encodeImage({ snapshot: () => this.#snapshot }, this.membership));
    return this.#crc;
  }

  /** Of what watchers see. */
  get imageCrc(): number {
    this.#imageCrc ??= nodeChecksum.crc32(encodeImage({ snapshot: () => this.#snapshot }));
    return this.#imageCrc;
  }

  broker(id: number): BrokerImage | undefined {
    return this.#snapshot.brokers.find(({ brokerId }) => brokerId === id);
  }

  partition({ topicId, partition }: Pick<PartitionImage, 'topicId' | 'partition'>): PartitionImage | undefined {
    return this.#snapshot.partitions.find((each) => each.topicId === topicId && each.partition === partition);
  }
}

export class Reference {
  readonly #world: World;
  readonly #fail: Fail;
  readonly #machine: StateMachine;
  readonly #entries: Entry[] = [];
  /** After each index, and of each version. */
  readonly #states: State[] = [];
  readonly #statesOfVersions = new Map<number, State>();
  readonly #settings = new Map<string, number>();
  readonly configurations: Configurations;
  #outcome: Outcome;
  #producerIdsEnd = 0n;

  constructor(world: World) {
    this.#world = world;
    this.#fail = (name, text) => world.fail('safety', name, text);
    this.#machine = new StateMachine({
      index: firstIndex as LogIndex,
      term: 1 as Term,
      confState: emptyConfState,
      data: encodeImage(new MetadataImage()),
    });
    this.#machine.addListener({
      onApplied: (_entry, outcome) => {
        this.#outcome = outcome;
      },
    });
    const voters = Array.from({ length: world.seed.controllers }, (_, position) => position + 1);
    this.configurations = new Configurations(voters, this.#machine.membership, firstIndex);
    this.#noteState();
  }

  get appliedIndex(): number {
    return this.#machine.appliedIndex;
  }

  get image(): MetadataImage {
    return this.#machine.image;
  }

  /** Undefined for what is not known to be committed. */
  termAt(index: number): number | undefined {
    return index <= firstIndex ? 1 : this.#entries[index - firstIndex - 1]?.term;
  }

  /** Index at which this value of the setting was committed. */
  indexOfSetting(value: string): number | undefined {
    return this.#settings.get(value);
  }

  /** A node has applied this entry. True when it is the first one. */
  applied(controllerId: number, entry: Entry): boolean {
    const known = this.#entries[entry.index - firstIndex - 1];
    if (known !== undefined) {
      if (known.term !== entry.term || !equalBytes(known.data, entry.data)) {
        const text = `controller ${controllerId} applies (${entry.index}, term ${entry.term}), others applied term ${known.term}`;
        this.#fail('the same command at the same index', text);
      }
      return false;
    }
    if (entry.index !== this.appliedIndex + 1) {
      this.#fail('entries are applied in order', `${entry.index} comes after ${this.appliedIndex}`);
      return false;
    }
    this.#entries.push(entry);
    this.#apply(entry);
    return true;
  }

  /** The state of a node after `index`, as the bytes of its snapshot. */
  compareNode(node: ControllerNode, name: string): void {
    const index = node.stateMachine.appliedIndex;
    const actual = nodeChecksum.crc32(node.stateMachine.snapshotBytes());
    if (this.#states[index]?.crc !== actual)
      this.#fail(name, `controller ${node.controllerId} differs at index ${index}`);
  }

  compareSnapshot(controllerId: number, index: number, data: Uint8Array): void {
    if (this.#states[index]?.crc === nodeChecksum.crc32(data)) return;
    this.#fail('a snapshot equals the replay of its log', `snapshot ${index} of controller ${controllerId} differs`);
  }

  compareWatch(watcher: string, image: MetadataImage): void {
    if (image.version === 0) return;
    const expected = this.#statesOfVersions.get(image.version)?.imageCrc;
    if (expected === nodeChecksum.crc32(encodeImage(image))) return;
    this.#fail('a watcher has the metadata of its version', `${watcher} differs at version ${image.version}`);
  }

  #apply(entry: Entry): void {
    const command = commandOf(entry);
    const before = this.#states[this.appliedIndex] as State;
    this.#outcome = undefined;
    this.#machine.apply(entry);
    this.#noteState();
    if (entry.type !== 'EntryNormal') {
      const change = entry.data.length === 0 ? leaveJointChange : decodeConfChange(entry.type, entry.data);
      this.configurations.add(entry.index, change, this.#machine.membership);
    }
    if (command === undefined) return;
    const outcome = this.#taken();
    if (outcome === undefined) return;
    this.#world.counts.add(`command: ${command.kind}${'error' in outcome ? ' refused' : ''}`);
    if ('error' in outcome) return;
    this.#checkEntitled(command, before);
    for (const event of outcome.events) {
      if (event.kind === 'partition-changed') this.#checkPartition(event.partition, before, command);
    }
    this.#noteResult(command, entry.index, outcome.result);
  }

  /** What the listener was told. */
  #taken(): Outcome {
    return this.#outcome;
  }

  #noteState(): void {
    const { appliedIndex, image, membership } = this.#machine;
    const before = this.#states[appliedIndex - 1];
    const isOld = before?.version === image.version && before.membership === membership;
    const state = isOld ? before : new State(image, membership);
    this.#states[appliedIndex] = state;
    this.#statesOfVersions.set(image.version, state);
  }

  #noteResult(command: MetadataCommand, index: number, result: unknown): void {
    if (command.kind === 'alter-config' && command.topicId === undefined) {
      for (const value of command.set.values()) if (!this.#settings.has(value)) this.#settings.set(value, index);
    }
    if (command.kind !== 'allocate-producer-ids') return;
    const { first, count } = result as { first: bigint; count: number };
    if (first < this.#producerIdsEnd) this.#fail('producer ids are given out once', `${first} was given out before`);
    this.#producerIdsEnd = first + BigInt(count);
  }

  #checkEntitled(command: MetadataCommand, before: State): void {
    const epoch = 'brokerEpoch' in command ? before.broker(command.brokerId)?.brokerEpoch : undefined;
    if ('brokerEpoch' in command && epoch !== command.brokerEpoch) {
      const text = `${command.kind} of broker ${command.brokerId} has epoch ${command.brokerEpoch}, not ${epoch}`;
      this.#fail('commands of an old broker epoch change nothing', text);
    }
    if (command.kind !== 'change-isr' && command.kind !== 'elect-leader') return;
    const partition = before.partition(command);
    if (partition === undefined) return;
    if (command.leaderEpoch !== undefined && command.leaderEpoch !== partition.leaderEpoch) {
      const text = `${command.kind} with leader epoch ${command.leaderEpoch}, not ${partition.leaderEpoch}`;
      this.#fail('the ISR and the leader change only with matching epochs', text);
    }
    if (command.kind === 'elect-leader') return;
    const isCurrent = command.partitionEpoch === partition.partitionEpoch && command.brokerId === partition.leaderId;
    if (!isCurrent) {
      const text = `change-isr by ${command.brokerId} with partition epoch ${command.partitionEpoch}, not ${partition.partitionEpoch}`;
      this.#fail('the ISR and the leader change only with matching epochs', text);
    }
    for (const { brokerId, brokerEpoch } of command.inSyncReplicas) {
      const broker = before.broker(brokerId);
      const joins = !partition.inSyncReplicas.includes(brokerId);
      // An operator who drains a broker wants it to follow; one that is about to stop does not come back.
      const isDrained = broker?.state === 'draining' && broker.drained === true && broker.stopping === undefined;
      const mayJoin = broker?.state === 'active' || isDrained;
      if (broker?.brokerEpoch === brokerEpoch && (!joins || mayJoin)) continue;
      this.#fail('members join the ISR in service and under their epoch', `broker ${brokerId}, epoch ${brokerEpoch}`);
    }
  }

  #checkPartition(after: PartitionImage, before: State, command: MetadataCommand): void {
    const { leaderId, inSyncReplicas, replicas } = after;
    const name = `partition ${after.topicId}/${after.partition}`;
    if (leaderId !== 0 && !inSyncReplicas.includes(leaderId)) this.#fail('the leader is in the ISR', name);
    if (inSyncReplicas.length === 0) this.#fail('the ISR is never empty', name);
    if (!inSyncReplicas.every((id) => replicas.includes(id))) this.#fail('the ISR is part of the replicas', name);
    const old = before.partition(after);
    if (old === undefined) return;
    this.#world.counts.add('partition changes');
    if (after.leaderEpoch < old.leaderEpoch || after.partitionEpoch <= old.partitionEpoch) {
      this.#fail('epochs of a partition rise', name);
    }
    if (leaderId !== old.leaderId) {
      if (after.leaderEpoch === old.leaderEpoch) this.#fail('one leader per leader epoch', name);
      // A move may end with the very change of the ISR that completes it: then one of those who joined leads.
      const joins = command.kind === 'change-isr' && old.move !== undefined ? command.inSyncReplicas : [];
      const joined = joins.map(({ brokerId }) => brokerId);
      const possible = [...old.inSyncReplicas, ...(old.eligibleReplicas ?? []), ...joined];
      if (leaderId !== 0 && !possible.includes(leaderId)) this.#fail('leaders have all committed records', name);
    }
    this.#checkEligible(after, old, name);
  }

  /** KIP-966: they have left the ISR, and nothing can be committed since. */
  #checkEligible(after: PartitionImage, old: PartitionImage, name: string): void {
    const { inSyncReplicas, eligibleReplicas = [], replicas, move, topicId } = after;
    if (eligibleReplicas.length === 0) return;
    this.#world.counts.add('partitions with eligible replicas');
    const had = [...old.inSyncReplicas, ...(old.eligibleReplicas ?? [])];
    const isEntitled = (id: number): boolean =>
      had.some((each) => each === id) &&
      replicas.some((each) => each === id) &&
      !inSyncReplicas.some((each) => each === id);
    if (!eligibleReplicas.every(isEntitled)) this.#fail('eligible replicas were in sync', name);
    const { image } = this.#machine;
    const setting = 'min.insync.replicas';
    const factor = (move?.targetReplicas ?? replicas).length;
    const own = image.topicById(topicId)?.config.get(setting);
    const minimum = own === undefined ? Math.min(factor, Number(image.cluster.config.get(setting) ?? 2)) : Number(own);
    if (inSyncReplicas.length >= minimum) this.#fail('nobody is eligible while records are committed', name);
  }
}

function commandOf(entry: Entry): MetadataCommand | undefined {
  if (entry.type !== 'EntryNormal' || entry.data.length === 0) return undefined;
  return decodeCommand(splitEntryData(entry.data).command);
}

function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, position) => byte === right[position]);
}
