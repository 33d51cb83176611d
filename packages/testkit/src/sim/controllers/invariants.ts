/**
 * What must hold at every moment of a run of controllers, whatever fails: the properties of Raft (dissertation, figure 3.2),
 * what a disk owes after a crash, and what clients and watchers are promised (docs/simulation.md has the list).
 *
 * Fed from three sides: by the messages that leave a node, by what a node writes and applies, and by a look at all nodes
 * after each event. This file brings what was seen to the parts that judge it. Nothing in here changes what is observed.
 */
import type { ControllerNode, StorageWrite } from '@fleetmq/controller/sim';
import type {
  AppendEntriesRequest,
  AppendEntriesResponse,
  InstallSnapshotResponse,
  TimeoutNowResponse,
  VoteRequest,
  VoteResponse,
} from '@fleetmq/gen/controller/raft';
import type { LogIndex } from '@fleetmq/shared';
import type { NetworkObserver } from '../network.ts';
import type { SimProcess } from '../process.ts';
import { Durability } from './invariants/durability.ts';
import { Elections } from './invariants/elections.ts';
import { Leases } from './invariants/leases.ts';
import { Members } from './invariants/members.ts';
import { nameOf, type Observed, ObservedDisks } from './invariants/observed.ts';
import { watchReads } from './invariants/reads.ts';
import { Replication } from './invariants/replication.ts';
import type { MemberHistory } from './member-history.ts';
import { Reference } from './reference.ts';
import type { World } from './world.ts';

/** Every so many events one node's commit index is looked at. */
const commitLookEvery = 8;
/** Every so many entries a node's whole state is compared. */
const stateLookEvery = 8;

export class Invariants {
  readonly #world: World;
  readonly reference: Reference;
  readonly disks: ObservedDisks = new ObservedDisks();
  readonly #elections: Elections;
  readonly #leases: Leases;
  readonly #replication: Replication;
  readonly #durability: Durability;
  readonly #members: Members;
  readonly #seats: number;
  #looks = 0;

  constructor(world: World, history: MemberHistory) {
    this.#world = world;
    this.#seats = world.seed.controllers + world.seed.spares;
    const reference = new Reference(world);
    const { disks } = this;
    this.reference = reference;
    this.#elections = new Elections(world, reference, disks);
    this.#leases = new Leases(world, disks);
    this.#replication = new Replication(world, reference, disks);
    this.#durability = new Durability(world, reference);
    this.#members = new Members(world, { reference, disks, history });
  }

  get checks(): number {
    return this.#looks;
  }

  started(node: ControllerNode, process: SimProcess): void {
    const { seen, before } = this.disks.started(node, process);
    if (before !== undefined) this.#durability.recovered(seen, before, node.storage);
    const { appliedIndex } = node.stateMachine;
    if (appliedIndex > 0) this.reference.compareNode(node, 'a snapshot equals the replay of its log');
    this.#members.goesBy(seen, node.driver.confState, appliedIndex);
    this.#watchWrites(seen, node, process);
    this.#watchSnapshots(seen, node, process);
    this.#watchChanges(seen, node, process);
    watchReads(this.#world, this.disks, seen, node);
    node.stateMachine.addListener({
      onApplied: (entry) => {
        if (process.isAlive) this.#applied(seen, node, entry.index);
      },
      onRestore: () => {
        if (!process.isAlive) return;
        this.#world.counts.add('snapshots installed');
        this.#replication.moved(seen, node);
        this.reference.compareNode(node, 'a snapshot equals the replay of its log');
      },
    });
  }

  ended(id: number): void {
    this.disks.ended(id);
  }

  /** After every event. */
  look(): void {
    this.#looks++;
    for (const seen of this.disks.running) {
      const node = seen.node as ControllerNode;
      if (seen.process?.isPaused === true) this.#leases.heldUp(seen);
      const leads = node.driver.leadership.role === 'StateLeader';
      if (leads !== seen.leads) this.#changedRole(seen, node, leads);
    }
    if (this.#looks % commitLookEvery !== 0) return;
    const seen = this.disks.runningAt(1 + ((this.#looks / commitLookEvery) % this.#seats));
    if (seen?.node === undefined) return;
    this.#replication.lookAtCommit(seen, seen.node);
    this.#leases.look(seen, seen.node);
  }

  readonly observeMessage: NetworkObserver = ({ from, to, method, kind, stage, message }) => {
    const name = method.localName;
    if (stage === 'arrives') {
      const seen = this.disks.runningAt(to);
      if (seen !== undefined) this.#leases.arrived(seen, { from, method: name, kind, message });
      return;
    }
    const seen = this.disks.runningAt(from);
    if (seen === undefined) return;
    if (kind === 'request') this.#asked(seen, to, name, message);
    else this.#answered(seen, to, name, message);
  };

  #asked(seen: Observed, to: number, method: string, message: unknown): void {
    if (method === 'appendEntries') this.#appended(seen, message as AppendEntriesRequest);
    else if (method === 'requestVote') this.#elections.askedForVote(seen, message as VoteRequest);
    else if (method === 'timeoutNow') this.#leases.handsOver(seen, to);
  }

  #answered(seen: Observed, to: number, method: string, message: unknown): void {
    if (method === 'appendEntries') {
      this.#acknowledged(seen, message as AppendEntriesResponse);
    } else if (method === 'requestVote') {
      this.#elections.answeredVote(seen, to, message as VoteResponse);
      this.#leases.voted(seen, to, method, message as VoteResponse);
    } else if (method === 'preVote') {
      this.#elections.answeredPreVote(seen, to, message as VoteResponse);
      this.#leases.voted(seen, to, method, message as VoteResponse);
    } else if (method === 'timeoutNow' || method === 'installSnapshot') {
      this.#elections.spoke(seen, (message as TimeoutNowResponse | InstallSnapshotResponse).term);
    }
  }

  #changedRole(seen: Observed, node: ControllerNode, leads: boolean): void {
    seen.leads = leads;
    this.#world.trace.note(leads ? 'leads' : 'steps down', [seen.id, node.driver.leadership.term]);
    if (!leads) return;
    this.#leases.heldUp(seen);
    this.#elections.elected(seen, node);
    this.#members.elected(seen, node);
  }

  #appended(seen: Observed, request: AppendEntriesRequest): void {
    const term = this.#elections.spoke(seen, request.term);
    this.#elections.leads(seen.id, term);
    this.#replication.appended(seen, request, term);
  }

  #acknowledged(seen: Observed, response: AppendEntriesResponse): void {
    this.#elections.spoke(seen, response.term);
    this.#replication.acknowledged(seen, response);
  }

  /** What counts is the entry in the log, not what the state machine took for it. */
  #applied(seen: Observed, node: ControllerNode, index: LogIndex): void {
    this.#replication.moved(seen, node);
    const isStored = index > node.storage.currentSnapshot().index || index >= node.storage.firstIndex();
    const entry = isStored ? node.storage.entries(index, (index + 1) as LogIndex, 0)?.[0] : undefined;
    if (entry === undefined) {
      this.#world.fail('safety', 'what is applied is in the log', `${nameOf(seen)} applies ${index}`);
      return;
    }
    if (this.reference.applied(seen.id, entry)) {
      const { term } = node.driver.leadership;
      this.#elections.committed(entry.index, term);
      this.#replication.committed(entry, term);
      this.#members.committed(entry);
    }
    if (entry.type !== 'EntryNormal') {
      this.#members.goesBy(seen, node.driver.confState, entry.index);
      this.#leases.heldUp(seen);
    }
    if (entry.index % stateLookEvery === 0) this.reference.compareNode(node, 'equal state at equal index');
  }

  #watchWrites(seen: Observed, node: ControllerNode, process: SimProcess): void {
    const { storage } = node;
    const persist = storage.persist.bind(storage);
    storage.persist = async (writes) => {
      if (process.isAlive) {
        seen.writing = writes;
        this.#writes(seen, node, writes);
      }
      const end = storage.lastIndex();
      await persist(writes);
      if (!process.isAlive) return;
      seen.writing = undefined;
      const last = writes.findLast(({ entries, snapshot }) => entries.length > 0 || snapshot !== undefined);
      this.#replication.persisted(storage, writes, end);
      for (const write of writes) this.#replication.wrote(seen, storage, write, write === last);
    };
  }

  /** A write begins. */
  #writes(seen: Observed, node: ControllerNode, writes: readonly StorageWrite[]): void {
    for (const { snapshot } of writes) {
      if (snapshot !== undefined) this.#members.goesBy(seen, snapshot.confState, snapshot.index);
    }
    const { role, term } = node.driver.leadership;
    if (role !== 'StateLeader') return;
    const entries = writes.flatMap((write) => write.entries);
    for (const [position, entry] of entries.entries()) {
      if (entry.term !== term) continue;
      this.#replication.appendedByLeader(node, entry);
      if (entry.type !== 'EntryNormal') this.#members.proposed(seen, node, entry, entries.slice(0, position));
    }
  }

  #watchSnapshots(seen: Observed, { storage }: ControllerNode, process: SimProcess): void {
    const save = storage.saveSnapshot.bind(storage);
    storage.saveSnapshot = (snapshot, entriesKept) => {
      if (process.isAlive) {
        this.#world.counts.add('snapshots made');
        this.reference.compareSnapshot(seen.id, snapshot.index, snapshot.data);
        this.#members.goesBy(seen, snapshot.confState, snapshot.index);
      }
      return save(snapshot, entriesKept);
    };
  }

  #watchChanges(seen: Observed, node: ControllerNode, process: SimProcess): void {
    const { driver } = node;
    const propose = driver.proposeConfChange.bind(driver);
    driver.proposeConfChange = (change) => {
      if (process.isAlive) this.#members.asked(seen, node, change);
      return propose(change);
    };
  }
}
