/**
 * A cluster in a box, driven by one seed: nodes on memory disks, a network that loses, doubles and reorders, crashes at any
 * moment, proposals, changes of members, transfers, reads and compaction. After each step it checks what Raft promises:
 *  - one leader per term, and one vote per node and term, across restarts;
 *  - an entry that some node applied at an index is the one that every node applies there (state machine safety);
 *  - a new leader has every entry that was committed before (leader completeness);
 *  - a read index is not below what any node had committed when the read was asked for (linearizability).
 * `heal` ends the faults; then a leader must appear, and all members must come to the same state (liveness).
 * Disks keep what was written and lose what was not; with asynchronous writes the queues of a crashed node are lost.
 */
import { assert, type LogIndex, type Random, seededRandom } from '@fleetmq/shared';
import type { ConfChange, ConfChangeSingle } from '../conf-change.ts';
import { asJointChange, decodeConfChange } from '../conf-change.ts';
import type { RaftOptions } from '../config.ts';
import { MemoryStorage } from '../memory-storage.ts';
import {
  type ConfState,
  type Entry,
  emptyBytes,
  emptyConfState,
  type HardState,
  isEmptyHardState,
  isLocalThread,
  type Message,
  type NodeId,
  type Snapshot,
} from '../messages.ts';
import { jointVoters } from '../quorum.ts';
import { Raft } from '../raft.ts';

/** A disk that makes a snapshot of the present state when it is asked for one, or not, when it is busy. */
class Disk extends MemoryStorage {
  makeSnapshot: () => Snapshot | undefined = () => undefined;

  get lastSnapshot(): Snapshot {
    return super.snapshot() as Snapshot;
  }

  override snapshot(): Snapshot | undefined {
    return this.makeSnapshot();
  }
}

interface Host {
  readonly id: NodeId;
  readonly disk: Disk;
  raft: Raft;
  /** Chain of hashes over all that was applied. */
  state: number;
  applied: LogIndex;
  confState: ConfState;
  appendWork: Message[];
  applyWork: Message[];
}

export interface ClusterOptions {
  readonly seed: number;
  readonly nodes: number;
  readonly steps: number;
}

export interface ClusterSummary {
  readonly committed: number;
  readonly terms: number;
  readonly reads: number;
  readonly snapshots: number;
  readonly confChanges: number;
  readonly restarts: number;
}

const firstIndex = 5 as LogIndex;

/** Runs a seed and returns what happened in it. Throws AssertionFailure when a promise is broken. */
export function runCluster(options: ClusterOptions): ClusterSummary {
  const cluster = new Cluster(options);
  for (let step = 0; step < options.steps; step++) cluster.step();
  cluster.heal();
  return cluster.summary();
}

class Cluster {
  readonly #random: Random;
  readonly #hosts: Host[];
  readonly #weights: Readonly<Record<string, number>>;
  /** Nodes that are cut off from the others (but not from each other). */
  #isolated: ReadonlySet<NodeId> = new Set();
  readonly #template: Omit<RaftOptions, 'id' | 'storage' | 'random'>;
  #network: Message[] = [];
  #isFaulty = true;
  #proposals = 0;
  #restarts = 0;
  #snapshots = 0;
  #confChanges = 0;
  #reads = 0;
  /** Highest index that any node knew to be committed. */
  #committed: number = firstIndex;
  readonly #leaders = new Map<number, NodeId>();
  readonly #votes = new Map<string, NodeId>();
  /** What was applied at each index, and the state behind it. */
  readonly #history = new Map<number, { readonly entry: string; readonly state: number }>();
  /** Reads that wait for their answer: by mark, the index that it must reach. */
  readonly #pendingReads = new Map<number, number>();

  constructor({ seed, nodes }: ClusterOptions) {
    this.#random = seededRandom(seed);
    const coin = (): boolean => this.#below(2) === 0;
    this.#template = {
      electionTicks: 5,
      heartbeatTicks: 1,
      preVote: coin(),
      checkQuorum: coin(),
      asyncStorageWrites: coin(),
      disableProposalForwarding: coin(),
      maxSizePerMsg: coin() ? 0 : 100,
      maxInflightMsgs: 1 + this.#below(4),
      maxCommittedSizePerReady: coin() ? 1 : 200,
      maxInflightBytes: 10_000,
    };
    // Each seed has its own weather.
    const some = (most: number): number => 1 + this.#below(most);
    this.#weights = {
      deliver: 300,
      ready: 260,
      work: 140,
      tick: 80 + some(80),
      propose: 30 + some(60),
      read: some(60),
      confChange: some(30),
      compact: some(10),
      transfer: some(8),
      forget: some(6),
      campaign: some(6),
      restart: some(10),
      partition: some(6),
      unreachable: 10,
      snapshotOutcome: 10,
    };
    const ids = Array.from({ length: nodes }, (_, position) => position + 1);
    const voters = ids.slice(0, Math.max(3, nodes - 1));
    this.#hosts = ids.map((id) => this.#createHost(id, voters.includes(id) ? voters : []));
  }

  /** One random event. */
  step(): void {
    const host = this.#pick(this.#hosts);
    const event = this.#draw();
    if (event === 'deliver') this.#deliver();
    else if (event === 'ready') this.#handleReady(host);
    else if (event === 'work') this.#workQueues(host);
    else if (event === 'tick') host.raft.tick();
    else if (event === 'propose') this.#propose(host);
    else if (event === 'read') this.#read(host);
    else if (event === 'confChange') this.#proposeConfChange(host);
    else if (event === 'compact') this.#compact(host);
    else if (event === 'transfer') host.raft.transferLeader(1 + this.#below(this.#hosts.length));
    else if (event === 'forget') host.raft.forgetLeader();
    else if (event === 'campaign') host.raft.campaign();
    else if (event === 'restart') this.#restart(host);
    else if (event === 'partition') this.#partition();
    else if (event === 'unreachable') host.raft.reportUnreachable(1 + this.#below(this.#hosts.length));
    else host.raft.reportSnapshot(1 + this.#below(this.#hosts.length), this.#below(2) === 0 ? 'failed' : 'finished');
    this.#checkLeaders();
  }

  /** Ends the faults and checks that the cluster comes to rest in one state, with a leader that takes proposals. */
  heal(): void {
    this.#isFaulty = false;
    this.#isolated = new Set();
    const before = this.#committed;
    for (let round = 0; round < 400; round++) {
      for (const host of this.#hosts) host.raft.tick();
      for (let turn = 0; turn < 6; turn++) this.#settle();
      for (const host of this.#hosts) {
        const { role, progress } = host.raft.status();
        if (role !== 'StateLeader') continue;
        if (round % 10 === 5) this.#propose(host);
        if (round % 10 === 9 && this.#isSettled(host, before)) return;
        // Snapshots that were lost before: a host notices that its transfer failed.
        for (const [id, { state }] of progress) {
          if (state === 'StateSnapshot') host.raft.reportSnapshot(id, 'failed');
        }
      }
    }
    const states = this.#hosts.map(({ id, raft, applied, confState }) => {
      const { role, term, lead, commit } = raft.status();
      const voters = `${confState.voters}&&${confState.votersOutgoing}`;
      return `${id}: ${role} term=${term} lead=${lead} commit=${commit} applied=${applied} voters=${voters}`;
    });
    throw new Error(`the cluster does not come to rest:\n${states.join('\n')}`);
  }

  summary(): ClusterSummary {
    return {
      committed: this.#committed,
      terms: this.#leaders.size,
      reads: this.#reads,
      snapshots: this.#snapshots,
      confChanges: this.#confChanges,
      restarts: this.#restarts,
    };
  }

  #createHost(id: NodeId, voters: readonly NodeId[]): Host {
    const disk = new Disk();
    const confState: ConfState = { ...emptyConfState, voters };
    if (voters.length > 0) disk.applySnapshot({ index: firstIndex, term: 1 as never, confState, data: stateBytes(0) });
    const host: Host = {
      id,
      disk,
      raft: undefined as unknown as Raft,
      state: 0,
      applied: disk.lastIndex(),
      confState,
      appendWork: [],
      applyWork: [],
    };
    disk.makeSnapshot = () => {
      if (this.#isFaulty && this.#below(2) === 0) return undefined;
      const { applied: index } = host;
      const term = disk.term(index);
      return term === undefined ? undefined : { index, term, confState: host.confState, data: stateBytes(host.state) };
    };
    this.#boot(host);
    return host;
  }

  /** Everything that is not on disk is gone: the state machine starts from its last snapshot. */
  #boot(host: Host): void {
    const snapshot = host.disk.lastSnapshot;
    host.state = stateOf(snapshot.data);
    host.applied = snapshot.index;
    host.confState = snapshot.confState;
    host.appendWork = [];
    host.applyWork = [];
    host.raft = new Raft({
      ...this.#template,
      id: host.id,
      storage: host.disk,
      applied: snapshot.index,
      random: () => this.#random.next(),
    });
  }

  #restart(host: Host): void {
    this.#restarts++;
    this.#boot(host);
  }

  #deliver(): void {
    if (this.#network.length === 0) return;
    const position = this.#isFaulty ? this.#below(this.#network.length) : 0;
    const message = this.#network[position] as Message;
    const dice = this.#isFaulty ? this.#below(10) : 9;
    // One in ten is lost, one in ten stays and comes again later.
    if (dice !== 1) this.#network.splice(position, 1);
    if (dice === 0 || this.#isolated.has(message.from) !== this.#isolated.has(message.to)) return;
    this.#hosts[message.to - 1]?.raft.step(message);
  }

  #handleReady(host: Host): void {
    if (!host.raft.hasReady()) return;
    const ready = host.raft.ready();
    for (const { index, context } of ready.readStates) this.#answerRead(index, context);
    if (this.#template.asyncStorageWrites === true) {
      for (const message of ready.messages) {
        if (!isLocalThread(message.to)) this.#post(message);
        else if (message.type === 'MsgStorageAppend') host.appendWork.push(message);
        else host.applyWork.push(message);
      }
      return;
    }
    this.#write(host, ready.hardState, ready.entries, ready.snapshot);
    // A crash here: all is written, nothing is sent.
    if (this.#isFaulty && this.#below(100) === 0) {
      this.#restart(host);
      return;
    }
    for (const message of ready.messages) this.#post(message);
    this.#apply(host, ready.committedEntries);
    host.raft.advance();
  }

  #workQueues(host: Host): void {
    const append = host.appendWork.length > 0 && (host.applyWork.length === 0 || this.#below(2) === 0);
    const message = append ? host.appendWork.shift() : host.applyWork.shift();
    if (message === undefined) return;
    if (append) {
      const { term, vote, commit, entries, snapshot } = message;
      this.#write(host, { term, vote, commit }, entries, snapshot);
    } else {
      this.#apply(host, message.entries);
    }
    for (const response of message.responses) {
      if (response.to === host.id) host.raft.step(response);
      else this.#post(response);
    }
  }

  #write(
    host: Host,
    hardState: HardState | undefined,
    entries: readonly Entry[],
    snapshot: Snapshot | undefined,
  ): void {
    if (snapshot !== undefined) {
      this.#snapshots++;
      host.disk.applySnapshot(snapshot);
      host.state = stateOf(snapshot.data);
      host.applied = snapshot.index;
      host.confState = snapshot.confState;
      assert(this.#history.get(snapshot.index)?.state === host.state, `snapshot ${snapshot.index} has a wrong state`);
    }
    host.disk.append(entries);
    if (hardState !== undefined && !isEmptyHardState(hardState)) host.disk.setHardState(hardState);
  }

  #apply(host: Host, entries: readonly Entry[]): void {
    for (const entry of entries) {
      // Overtaken by a snapshot that is installed, or will be.
      if (entry.index <= host.applied) continue;
      if (entry.index !== host.applied + 1 && host.raft.status().pendingSnapshot > entry.index) return;
      assert(entry.index === host.applied + 1, `${host.id} applies ${entry.index} behind ${host.applied}`);
      if (entry.type !== 'EntryNormal') {
        const change = decodeConfChange(entry.type, entry.data);
        const confState = host.raft.applyConfChange(change, entry.index);
        if (confState === undefined) return;
        host.confState = confState;
        if (asJointChange(change).changes.length > 0) this.#confChanges++;
      }
      host.applied = entry.index;
      host.state = nextState(host.state, entry);
      const known = this.#history.get(entry.index);
      const text = `${entry.term} ${entry.type} ${entry.data.join()}`;
      if (known === undefined) {
        this.#history.set(entry.index, { entry: text, state: host.state });
      } else {
        assert(known.entry === text, `${host.id} applies another entry at ${entry.index}: ${text}, not ${known.entry}`);
        assert(known.state === host.state, `${host.id} has another state at ${entry.index}`);
      }
      this.#committed = Math.max(this.#committed, entry.index);
    }
  }

  #propose({ raft }: Host): void {
    raft.propose(numberBytes(++this.#proposals));
  }

  #read({ raft }: Host): void {
    const mark = this.#pendingReads.size + this.#reads + 1_000_000;
    if (raft.readIndex(numberBytes(mark)) === undefined) this.#pendingReads.set(mark, this.#committed);
  }

  #answerRead(index: LogIndex, context: Uint8Array): void {
    const mark = numberOf(context);
    const least = this.#pendingReads.get(mark);
    // Forwarded requests may be doubled by the network and answered twice; the first answer is checked.
    if (least === undefined) return;
    assert(index >= least, `a read got index ${index}, but ${least} was committed when it was asked`);
    this.#pendingReads.delete(mark);
    this.#reads++;
  }

  #proposeConfChange({ raft }: Host): void {
    const single = (): ConfChangeSingle => ({
      type: this.#pick(['ConfChangeAddNode', 'ConfChangeAddNode', 'ConfChangeRemoveNode', 'ConfChangeAddLearnerNode']),
      nodeId: 1 + this.#below(this.#hosts.length),
    });
    const dice = this.#below(5);
    const change: ConfChange =
      dice < 2
        ? { kind: 'one-step', ...single(), context: emptyBytes }
        : {
            kind: 'joint',
            transition: this.#pick([
              'ConfChangeTransitionAuto',
              'ConfChangeTransitionJointImplicit',
              'ConfChangeTransitionJointExplicit',
            ]),
            changes: dice === 2 ? [] : Array.from({ length: dice - 2 }, single),
            context: emptyBytes,
          };
    raft.proposeConfChange(change);
  }

  #compact({ disk, applied, confState, state }: Host): void {
    if (applied <= disk.lastSnapshot.index || applied > disk.lastIndex()) return;
    disk.createSnapshot(applied, confState, stateBytes(state));
    disk.compact(applied);
  }

  #post(message: Message): void {
    if ((message.type === 'MsgVoteResp' || message.type === 'MsgVote') && !message.reject) {
      const voter = message.from;
      const candidate = message.type === 'MsgVote' ? message.from : message.to;
      const key = `${voter}/${message.term}`;
      const earlier = this.#votes.get(key);
      assert(earlier === undefined || earlier === candidate, `${voter} voted twice in term ${message.term}`);
      this.#votes.set(key, candidate);
    }
    this.#network.push(message);
    // The network holds so much and no more.
    if (this.#network.length > 400) this.#network.splice(this.#below(this.#network.length), 1);
  }

  #checkLeaders(): void {
    for (const { id, raft } of this.#hosts) {
      const status = raft.status();
      if (status.role !== 'StateLeader') continue;
      const known = this.#leaders.get(status.term);
      assert(known === undefined || known === id, `${known} and ${id} both lead in term ${status.term}`);
      if (known !== undefined) continue;
      this.#leaders.set(status.term, id);
      assert(status.lastIndex > this.#committed, `leader ${id} of term ${status.term} lacks committed entries`);
    }
  }

  #settle(): void {
    for (const host of this.#hosts) {
      this.#handleReady(host);
      while (host.appendWork.length + host.applyWork.length > 0) this.#workQueues(host);
    }
    for (let left = this.#network.length; left > 0; left--) this.#deliver();
    this.#checkLeaders();
  }

  /** Whether this leader has committed something new and all members have followed it to the end of its log. */
  #isSettled(leader: Host, before: number): boolean {
    const { config, commit, lastIndex } = leader.raft.status();
    const members = [...jointVoters(config.voters), ...config.learners];
    if (commit <= before || commit !== lastIndex || leader.applied !== commit) return false;
    return members.every((id) => {
      const host = this.#hosts[id - 1] as Host;
      return host.applied === leader.applied && host.state === leader.state;
    });
  }

  #draw(): string {
    const entries = Object.entries(this.#weights);
    let dice = this.#below(entries.reduce((sum, [, weight]) => sum + weight, 0));
    for (const [event, weight] of entries) {
      if (dice < weight) return event;
      dice -= weight;
    }
    return 'deliver';
  }

  /** Cuts some nodes off, or heals the cut. */
  #partition(): void {
    const isHealing = this.#isolated.size > 0 && this.#below(2) === 0;
    this.#isolated = new Set(this.#hosts.map(({ id }) => id).filter(() => !isHealing && this.#below(3) === 0));
  }

  #below(bound: number): number {
    return Math.floor(this.#random.next() * bound);
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[this.#below(items.length)] as Item;
  }
}

function nextState(state: number, entry: Entry): number {
  let hash = Math.imul(state ^ entry.term, 0x01000193) ^ entry.index;
  for (const byte of entry.data) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

function stateBytes(state: number): Uint8Array {
  return numberBytes(state);
}

function stateOf(bytes: Uint8Array): number {
  return numberOf(bytes);
}

function numberBytes(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24);
}

function numberOf(bytes: Uint8Array): number {
  const [a = 0, b = 0, c = 0, d = 0] = bytes;
  return (a + b * 2 ** 8 + c * 2 ** 16 + d * 2 ** 24) >>> 0;
}
