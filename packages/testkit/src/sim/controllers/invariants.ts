/**
 * What must hold at every moment of a run of controllers, whatever fails: the properties of Raft (dissertation, figure 3.2),
 * what a disk owes after a crash, and what clients and watchers are promised (docs/simulation.md has the list).
 *
 * Fed from three sides: by the messages that leave a node, by what a node writes and applies, and by a look at all nodes
 * after each event. This file brings what was seen to the parts that judge it. Nothing in here changes what is observed.
 */
import type { ControllerNode } from '@fleetmq/controller/sim';
import type {
  AppendEntriesRequest,
  AppendEntriesResponse,
  VoteRequest,
  VoteResponse,
} from '@fleetmq/gen/controller/raft';
import type { LogIndex } from '@fleetmq/shared';
import type { NetworkObserver } from '../network.ts';
import type { SimProcess } from '../process.ts';
import { Durability } from './invariants/durability.ts';
import { Elections } from './invariants/elections.ts';
import { Members } from './invariants/members.ts';
import { type Observed, observedOf, type Storage } from './invariants/observed.ts';
import { watchReads } from './invariants/reads.ts';
import { Replication } from './invariants/replication.ts';
import { Reference } from './reference.ts';
import type { World } from './world.ts';

/** Every so many events one node's commit index is looked at. */
const commitLookEvery = 8;
/** Every so many entries a node's whole state is compared. */
const stateLookEvery = 8;

export class Invariants {
  readonly #world: World;
  readonly reference: Reference;
  readonly #observed: readonly Observed[];
  readonly #elections: Elections;
  readonly #replication: Replication;
  readonly #durability: Durability;
  readonly #members: Members;
  #looks = 0;

  constructor(world: World) {
    this.#world = world;
    this.reference = new Reference(world);
    this.#observed = Array.from({ length: world.seed.controllers }, (_, position) => observedOf(position + 1));
    this.#elections = new Elections(world, this.reference, this.#observed);
    this.#replication = new Replication(world, this.#observed);
    this.#durability = new Durability(world, this.reference);
    this.#members = new Members(world);
  }

  get checks(): number {
    return this.#looks;
  }

  started(id: number, node: ControllerNode, process: SimProcess): void {
    const seen = this.#seen(id);
    if (seen.storage !== undefined && !seen.isWiped) this.#durability.recovered(seen, seen.storage, node.storage);
    Object.assign(seen, { node, storage: node.storage, writing: undefined, leads: false, commit: 0 });
    seen.appliedIndex = node.stateMachine.appliedIndex;
    this.reference.compareNode(node, 'a snapshot equals the replay of its log');
    this.#watchWrites(seen, node.storage, process);
    watchReads(this.#world, this.#observed, { id, node, process });
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

  crashed(id: number): void {
    const seen = this.#seen(id);
    seen.node = undefined;
  }

  wiped(id: number): void {
    const seen = this.#seen(id);
    // What it has acknowledged was counted in good faith.
    Object.assign(seen, { isWiped: true, wipedStorage: seen.wipedStorage ?? seen.storage, spokenTerm: 0 });
  }

  /** After every event. */
  look(): void {
    this.#looks++;
    for (const seen of this.#observed) {
      if (seen.node === undefined) continue;
      const { role } = seen.node.driver.leadership;
      const leads = role === 'StateLeader';
      if (leads !== seen.leads) this.#elections.changedRole(seen, seen.node, leads);
    }
    if (this.#looks % commitLookEvery !== 0) return;
    const seen = this.#observed[(this.#looks / commitLookEvery) % this.#observed.length];
    if (seen?.node !== undefined) this.#replication.lookAtCommit(seen, seen.node);
  }

  readonly observeMessage: NetworkObserver = ({ from, to, method, kind, message }) => {
    const seen = this.#observed[from - 1];
    if (seen?.node === undefined || seen.isWiped) return;
    switch (`${method.localName} ${kind}`) {
      case 'requestVote request':
        this.#elections.askedForVote(seen, message as VoteRequest);
        break;
      case 'requestVote response':
        this.#elections.answeredVote(seen, to, message as VoteResponse);
        break;
      case 'preVote response':
        this.#elections.answeredPreVote(seen, to, message as VoteResponse);
        break;
      case 'appendEntries request':
        this.#appended(seen, message as AppendEntriesRequest);
        break;
      case 'appendEntries response':
        this.#acknowledged(seen, message as AppendEntriesResponse);
        break;
      default:
        break;
    }
  };

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
      this.#world.fail('safety', 'what is applied is in the log', `controller ${seen.id} applies ${index}`);
      return;
    }
    if (this.reference.applied(seen.id, entry)) {
      this.#elections.committed(entry.index, node.driver.leadership.term);
      this.#replication.committed(entry);
    }
    if (entry.index % stateLookEvery === 0) this.reference.compareNode(node, 'equal state at equal index');
  }

  #watchWrites(seen: Observed, storage: Storage, process: SimProcess): void {
    const persist = storage.persist.bind(storage);
    storage.persist = async (writes) => {
      if (process.isAlive) seen.writing = writes;
      await persist(writes);
      if (!process.isAlive) return;
      seen.writing = undefined;
      const last = writes.findLast(({ entries, snapshot }) => entries.length > 0 || snapshot !== undefined);
      for (const write of writes) {
        this.#replication.wrote(seen, storage, write, write === last);
        for (const entry of write.entries) if (entry.type !== 'EntryNormal') this.#members.wrote(seen, entry);
      }
    };
    const save = storage.saveSnapshot.bind(storage);
    storage.saveSnapshot = (snapshot, entriesKept) => {
      if (!process.isAlive) return save(snapshot, entriesKept);
      this.#world.counts.add('snapshots made');
      this.reference.compareSnapshot(seen.id, snapshot.index, snapshot.data);
      if (snapshot.confState.voters.length === 0) {
        const text = `snapshot ${snapshot.index} of controller ${seen.id} has no voters`;
        this.#world.fail('safety', 'a snapshot has its members', text);
      }
      return save(snapshot, entriesKept);
    };
  }

  #seen(id: number): Observed {
    return this.#observed[id - 1] as Observed;
  }
}
