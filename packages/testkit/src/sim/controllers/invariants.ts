/**
 * What must hold at every moment of a run of controllers, whatever fails: the properties of Raft (dissertation, figure 3.2),
 * what a disk owes after a crash, and what clients and watchers are promised (docs/simulation.md has the list).
 *
 * Fed from three sides: by the messages that leave a node, by what a node writes and applies, and by a look at all nodes
 * after each event. Nothing in here changes what is observed.
 */
import type { ControllerNode, StorageWrite } from '@fleetmq/controller/sim';
import type {
  AppendEntriesRequest,
  AppendEntriesResponse,
  VoteRequest,
  VoteResponse,
} from '@fleetmq/gen/controller/raft';
import type { Entry, HardState } from '@fleetmq/raft';
import type { LogIndex } from '@fleetmq/shared';
import type { NetworkObserver } from '../network.ts';
import type { SimProcess } from '../process.ts';
import { Reference } from './reference.ts';
import type { World } from './world.ts';

type Storage = ControllerNode['storage'];

interface Observed {
  readonly id: number;
  node: ControllerNode | undefined;
  /** Of the present life, or the last one. */
  storage: Storage | undefined;
  /** Writes that a crash finds under way. */
  writing: readonly StorageWrite[] | undefined;
  appliedIndex: number;
  commit: number;
  leads: boolean;
  electedAtCommit: number;
  /** Of the last change of members that it wrote. */
  lastConfIndex: number;
  /** Highest term in a message of this node. */
  spokenTerm: number;
  isWiped: boolean;
  /** As it was when its disk was wiped. */
  wipedStorage: Storage | undefined;
}

/** Every so many events one node's commit index is looked at. */
const commitLookEvery = 8;
/** Every so many entries a node's whole state is compared. */
const stateLookEvery = 8;

export class Invariants {
  readonly #world: World;
  readonly reference: Reference;
  readonly #observed: readonly Observed[];
  readonly #leaders = new Map<number, number>();
  readonly #votes = new Map<string, number>();
  /** Positive pre-votes that reached a node, by term. */
  readonly #preVotes = new Map<string, Set<number>>();
  /** (term, index) -> checksum-like identity of the entry, and the term of the one before. */
  readonly #entries = new Map<string, { readonly data: Uint8Array; readonly previousTerm: number | undefined }>();
  /** By index: the term of the node that first knew it to be committed. */
  readonly #knownInTerm: number[] = [];
  #looks = 0;

  constructor(world: World) {
    this.#world = world;
    this.reference = new Reference(world);
    this.#observed = Array.from({ length: world.seed.controllers }, (_, position) => ({
      id: position + 1,
      node: undefined,
      storage: undefined,
      writing: undefined,
      appliedIndex: 0,
      commit: 0,
      leads: false,
      electedAtCommit: 0,
      lastConfIndex: 0,
      spokenTerm: 0,
      isWiped: false,
      wipedStorage: undefined,
    }));
  }

  get checks(): number {
    return this.#looks;
  }

  started(id: number, node: ControllerNode, process: SimProcess): void {
    const seen = this.#seen(id);
    if (seen.storage !== undefined && !seen.isWiped) this.#checkRecovered(seen, node.storage);
    Object.assign(seen, { node, storage: node.storage, writing: undefined, leads: false, commit: 0 });
    seen.appliedIndex = node.stateMachine.appliedIndex;
    this.reference.compareNode(node, 'a snapshot equals the replay of its log');
    this.#watchWrites(seen, node.storage, process);
    this.#watchReads(seen, node, process);
    node.stateMachine.addListener({
      onApplied: (entry) => {
        if (process.isAlive) this.#applied(seen, node, entry.index);
      },
      onRestore: () => {
        if (!process.isAlive) return;
        this.#world.counts.add('snapshots installed');
        this.#moved(seen, node);
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
      if (leads !== seen.leads) this.#changedRole(seen, seen.node, leads);
    }
    if (this.#looks % commitLookEvery !== 0) return;
    const seen = this.#observed[(this.#looks / commitLookEvery) % this.#observed.length];
    if (seen?.node !== undefined) this.#lookAtCommit(seen, seen.node);
  }

  readonly observeMessage: NetworkObserver = ({ from, to, method, kind, message }) => {
    const seen = this.#observed[from - 1];
    if (seen?.node === undefined || seen.isWiped) return;
    switch (`${method.localName} ${kind}`) {
      case 'requestVote request':
        this.#askedForVote(seen, message as VoteRequest);
        break;
      case 'requestVote response':
        this.#answeredVote(seen, to, message as VoteResponse);
        break;
      case 'preVote response': {
        const { voteGranted, term } = message as VoteResponse;
        if (voteGranted) this.#preVotesOf(to, term).add(from);
        break;
      }
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

  #askedForVote(seen: Observed, { term, leadershipTransfer }: VoteRequest): void {
    const termNumber = this.#spoke(seen, term);
    this.#voted(seen, termNumber, seen.id);
    const { size } = this.#preVotesOf(seen.id, term);
    const quorum = quorumOf(this.#observed.length);
    if (!leadershipTransfer && size + 1 < quorum) {
      this.#fail('the term rises only after a majority of pre-votes', `controller ${seen.id} asks in term ${term}`);
    }
  }

  #answeredVote(seen: Observed, candidate: number, { term, voteGranted }: VoteResponse): void {
    const termNumber = this.#spoke(seen, term);
    if (voteGranted) this.#voted(seen, termNumber, candidate);
  }

  #voted(seen: Observed, term: number, candidate: number): void {
    const key = `${term} ${seen.id}`;
    const before = this.#votes.get(key);
    if (before !== undefined && before !== candidate) {
      this.#fail('one vote per term', `controller ${seen.id} votes for ${before} and ${candidate} in term ${term}`);
    }
    this.#votes.set(key, candidate);
    const state = hardStateOf(seen);
    if (state !== undefined && (state.term < term || (state.term === term && state.vote !== candidate))) {
      this.#fail(
        'a vote is durable before it is told',
        `controller ${seen.id}, term ${term}: ${JSON.stringify(state)}`,
      );
    }
  }

  #appended(seen: Observed, { term, heartbeat, leaderCommit }: AppendEntriesRequest): void {
    const termNumber = this.#spoke(seen, term);
    this.#leads(seen.id, termNumber);
    const commit = Number(leaderCommit);
    if (heartbeat || commit <= seen.electedAtCommit || !seen.leads) return;
    const commitTerm = seen.storage?.term(commit as LogIndex);
    if (commitTerm !== undefined && commitTerm !== termNumber) {
      const text = `controller ${seen.id} leads term ${term} and commits ${commit} of term ${commitTerm}`;
      this.#fail('a leader commits by counting entries of its own term alone', text);
    }
  }

  #acknowledged(seen: Observed, { term, success, heartbeat, matchIndex }: AppendEntriesResponse): void {
    this.#spoke(seen, term);
    if (heartbeat || !success || seen.storage === undefined) return;
    if (Number(matchIndex) > seen.storage.lastIndex()) {
      const text = `controller ${seen.id} acknowledges ${matchIndex}, its log ends at ${seen.storage.lastIndex()}`;
      this.#fail('entries are durable before they are acknowledged', text);
    }
  }

  /** P24: no message leaves under a term that a crash could take back. */
  #spoke(seen: Observed, term: bigint): number {
    const number = Number(term);
    const state = hardStateOf(seen);
    if (state !== undefined && state.term < number) {
      this.#fail('a term is durable before it is told', `controller ${seen.id}: ${number}, durable ${state.term}`);
    }
    if (number > seen.spokenTerm) seen.spokenTerm = number;
    return number;
  }

  #leads(id: number, term: number): void {
    const before = this.#leaders.get(term);
    if (before === id) return;
    if (before !== undefined) this.#fail('one leader per term', `controllers ${before} and ${id} lead term ${term}`);
    this.#leaders.set(term, id);
    this.#world.counts.add('terms with a leader');
  }

  #changedRole(seen: Observed, node: ControllerNode, leads: boolean): void {
    seen.leads = leads;
    this.#world.trace.note(leads ? 'leads' : 'steps down', [seen.id, node.driver.leadership.term]);
    if (!leads) return;
    this.#world.counts.add('elections won');
    this.#leads(seen.id, node.driver.leadership.term);
    seen.electedAtCommit = node.driver.status().commit;
    // One that was held up in its election may be behind later leaders by now; it owes what was committed before its term.
    const { term } = node.driver.leadership;
    let index = this.reference.appliedIndex;
    while ((this.#knownInTerm[index] ?? 0) >= term) index--;
    const { storage } = node;
    if (storage.currentSnapshot().index >= index) return;
    if (storage.term(index as LogIndex) !== this.reference.termAt(index)) {
      const text = `controller ${seen.id} leads term ${term} without committed entry ${index}`;
      this.#fail('a leader has every committed entry', text);
    }
  }

  #lookAtCommit(seen: Observed, node: ControllerNode): void {
    const { commit, lastIndex } = node.driver.status();
    if (commit < seen.commit) this.#fail('commit never falls', `controller ${seen.id}: ${commit} after ${seen.commit}`);
    if (commit > lastIndex) this.#fail('commit is within the log', `controller ${seen.id}: ${commit} of ${lastIndex}`);
    seen.commit = commit;
  }

  /** What counts is the entry in the log, not what the state machine took for it. */
  #applied(seen: Observed, node: ControllerNode, index: LogIndex): void {
    this.#moved(seen, node);
    const isStored = index > node.storage.currentSnapshot().index || index >= node.storage.firstIndex();
    const entry = isStored ? node.storage.entries(index, (index + 1) as LogIndex, 0)?.[0] : undefined;
    if (entry === undefined) {
      this.#fail('what is applied is in the log', `controller ${seen.id} applies ${index}`);
      return;
    }
    if (this.reference.applied(seen.id, entry)) {
      this.#knownInTerm[entry.index] = node.driver.leadership.term;
      this.#checkQuorum(entry);
    }
    if (entry.index % stateLookEvery === 0) this.reference.compareNode(node, 'equal state at equal index');
  }

  #moved(seen: Observed, node: ControllerNode): void {
    const { appliedIndex } = node.stateMachine;
    if (appliedIndex <= seen.appliedIndex) {
      this.#fail('the applied index rises', `controller ${seen.id}: ${appliedIndex} after ${seen.appliedIndex}`);
    }
    seen.appliedIndex = appliedIndex;
  }

  /** Committed means durable on a majority, those that are down included. */
  #checkQuorum(entry: Entry): void {
    let count = 0;
    for (const seen of this.#observed) {
      const storage = seen.wipedStorage ?? seen.storage;
      if (storage === undefined) continue;
      if (storage.currentSnapshot().index >= entry.index || storage.term(entry.index) === entry.term) count++;
    }
    if (count < quorumOf(this.#observed.length)) {
      this.#fail(
        'committed is durable on a majority',
        `entry ${entry.index} of term ${entry.term} is on ${count} disks`,
      );
    }
  }

  #watchWrites(seen: Observed, storage: Storage, process: SimProcess): void {
    const persist = storage.persist.bind(storage);
    storage.persist = async (writes) => {
      if (process.isAlive) seen.writing = writes;
      await persist(writes);
      if (!process.isAlive) return;
      seen.writing = undefined;
      const last = writes.findLast(({ entries, snapshot }) => entries.length > 0 || snapshot !== undefined);
      for (const write of writes) this.#checkEntries(seen, storage, write.entries, write === last);
    };
    const save = storage.saveSnapshot.bind(storage);
    storage.saveSnapshot = (snapshot, entriesKept) => {
      if (!process.isAlive) return save(snapshot, entriesKept);
      this.#world.counts.add('snapshots made');
      this.reference.compareSnapshot(seen.id, snapshot.index, snapshot.data);
      if (snapshot.confState.voters.length === 0) {
        this.#fail('a snapshot has its members', `snapshot ${snapshot.index} of controller ${seen.id} has no voters`);
      }
      return save(snapshot, entriesKept);
    };
  }

  /** A read that comes when a majority is in a newer term already can never be confirmed (J22). */
  #watchReads(seen: Observed, node: ControllerNode, process: SimProcess): void {
    const { driver, reads } = node;
    const late = new Set<string>();
    const ask = driver.readIndex.bind(driver);
    driver.readIndex = (context) => {
      const { term } = driver.leadership;
      const newer = this.#observed.filter((each) => (hardStateOf(each)?.term ?? 0) > term).length;
      if (newer >= quorumOf(this.#observed.length)) late.add(context.join());
      return ask(context);
    };
    const confirmed = reads.confirmed.bind(reads);
    reads.confirmed = (state) => {
      if (process.isAlive && late.has(state.context.join())) {
        this.#fail('a read is confirmed by a majority of its term', `controller ${seen.id}, index ${state.index}`);
      }
      confirmed(state);
    };
  }

  /** Log matching: an entry's index and term name its content and, through the term before it, all that precedes it. */
  #checkEntries(seen: Observed, storage: Storage, entries: readonly Entry[], isLast: boolean): void {
    for (const [position, { index, term, data, type }] of entries.entries()) {
      const previousTerm = entries[position - 1]?.term ?? (isLast ? storage.term((index - 1) as LogIndex) : undefined);
      const known = this.#entries.get(`${term} ${index}`);
      if (known === undefined) {
        this.#entries.set(`${term} ${index}`, { data, previousTerm });
      } else {
        const isSame =
          known.data.length === data.length &&
          known.data.every((byte, at) => byte === data[at]) &&
          (previousTerm === undefined || known.previousTerm === undefined || known.previousTerm === previousTerm);
        if (!isSame) this.#fail('log matching', `controller ${seen.id} has another entry (${index}, term ${term})`);
      }
      if (type !== 'EntryNormal') this.#noteConfChange(seen, index, term);
    }
    const lastIndex = storage.lastIndex();
    const last = entries[entries.length - 1];
    if (isLast && last !== undefined && lastIndex !== last.index) {
      this.#fail(
        'a conflict cuts the log',
        `controller ${seen.id} wrote up to ${last.index}, its log ends at ${lastIndex}`,
      );
    }
  }

  /** A leader adds a change of the members only when the one before is committed. */
  #noteConfChange(seen: Observed, index: number, term: number): void {
    const { node, lastConfIndex } = seen;
    seen.lastConfIndex = index;
    if (node === undefined || !seen.leads || term !== node.driver.leadership.term || lastConfIndex >= index) return;
    this.#world.counts.add('changes of members proposed');
    const { commit } = node.driver.status();
    if (lastConfIndex > commit) {
      const text = `controller ${seen.id} adds ${index} behind ${lastConfIndex}, committed is ${commit}`;
      this.#fail('one uncommitted configuration', text);
    }
  }

  /** What was durable before a crash is there after it; what was under way is there as a whole, or not at all. */
  #checkRecovered(seen: Observed, storage: Storage): void {
    const before = (seen.storage as Storage).initialState().hardState;
    const after = storage.initialState().hardState;
    const name = 'what was durable survives a crash';
    const id = `controller ${seen.id}`;
    if (after.term < before.term || after.term < seen.spokenTerm) {
      this.#fail(
        'the term never falls',
        `${id} restarts in term ${after.term}; it was in ${Math.max(before.term, seen.spokenTerm)}`,
      );
    }
    const isVoteLost = after.term === before.term && before.vote !== 0 && after.vote !== before.vote;
    if (isVoteLost) this.#fail('one vote per term', `${id} restarts with vote ${after.vote}, not ${before.vote}`);
    const lastIndex = (seen.storage as Storage).lastIndex();
    const lastTerm = (seen.storage as Storage).term(lastIndex);
    const isCovered = storage.currentSnapshot().index >= lastIndex;
    if (seen.writing === undefined && !isCovered && storage.term(lastIndex) !== lastTerm) {
      this.#fail(name, `${id} had entry ${lastIndex} of term ${lastTerm}, and has ${storage.term(lastIndex)}`);
    }
    this.#checkCommittedThere(seen, storage);
  }

  #checkCommittedThere(seen: Observed, storage: Storage): void {
    const old = seen.storage as Storage;
    const index = Math.min(this.reference.appliedIndex, old.lastIndex()) as LogIndex;
    if (old.term(index) !== this.reference.termAt(index) || storage.currentSnapshot().index >= index) return;
    if (storage.term(index) !== this.reference.termAt(index)) {
      this.#fail('what was durable survives a crash', `controller ${seen.id} lost committed entry ${index}`);
    }
  }

  #preVotesOf(id: number, term: bigint): Set<number> {
    const key = `${term} ${id}`;
    let voters = this.#preVotes.get(key);
    if (voters === undefined) {
      voters = new Set();
      this.#preVotes.set(key, voters);
    }
    return voters;
  }

  #seen(id: number): Observed {
    return this.#observed[id - 1] as Observed;
  }

  #fail(name: string, text: string): void {
    this.#world.fail('safety', name, text);
  }
}

/** What is durable, as this life knows. */
function hardStateOf({ storage }: Observed): HardState | undefined {
  return storage?.initialState().hardState;
}

export function quorumOf(count: number): number {
  return Math.floor(count / 2) + 1;
}
