/**
 * A cluster in a box, driven by one seed: nodes on memory disks, a network that loses, doubles and reorders, crashes at any
 * moment, proposals, changes of members, transfers, reads and compaction. After each step it checks what Raft promises
 * (promises.ts).
 * `heal` ends the faults; then a leader must appear, and all members must come to the same state (liveness).
 * Disks keep what was written and lose what was not; with asynchronous writes the queues of a crashed node are lost.
 */
import { assert, seededRandom } from '@fleetmq/shared';
import type { ConfChange, ConfChangeSingle } from '../conf-change.ts';
import { asJointChange, decodeConfChange } from '../conf-change.ts';
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
import { Dice, drawEvent, drawRules, drawWeather, type Rules, type Weather } from './chance.ts';
import { Disk, firstIndex, type Host, nextState, numberBytes, stateBytes, stateOf } from './host.ts';
import { Promises } from './promises.ts';

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

/** Runs a seed and returns what happened in it. Throws AssertionFailure when a promise is broken. */
export function runCluster(options: ClusterOptions): ClusterSummary {
  const cluster = new Cluster(options);
  for (let step = 0; step < options.steps; step++) cluster.step();
  cluster.heal();
  return cluster.summary();
}

class Cluster {
  readonly #dice: Dice;
  readonly #rules: Rules;
  readonly #weather: Weather;
  readonly #hosts: Host[];
  readonly #promises = new Promises();
  /** Nodes that are cut off from the others (but not from each other). */
  #isolated: ReadonlySet<NodeId> = new Set();
  #network: Message[] = [];
  #isFaulty = true;
  #proposals = 0;
  #restarts = 0;
  #snapshots = 0;
  #confChanges = 0;

  constructor({ seed, nodes }: ClusterOptions) {
    this.#dice = new Dice(seededRandom(seed));
    this.#rules = drawRules(this.#dice);
    this.#weather = drawWeather(this.#dice);
    const ids = Array.from({ length: nodes }, (_, position) => position + 1);
    const voters = ids.slice(0, Math.max(3, nodes - 1));
    this.#hosts = ids.map((id) => this.#createHost(id, voters.includes(id) ? voters : []));
  }

  /** One random event. */
  step(): void {
    const host = this.#dice.pick(this.#hosts);
    const event = drawEvent(this.#dice, this.#weather);
    if (event === 'deliver') this.#deliver();
    else if (event === 'ready') this.#handleReady(host);
    else if (event === 'work') this.#workQueues(host);
    else if (event === 'tick') host.raft.tick();
    else if (event === 'propose') this.#propose(host);
    else if (event === 'read') this.#read(host);
    else if (event === 'confChange') this.#proposeConfChange(host);
    else if (event === 'compact') this.#compact(host);
    else if (event === 'transfer') host.raft.transferLeader(1 + this.#dice.below(this.#hosts.length));
    else if (event === 'forget') host.raft.forgetLeader();
    else if (event === 'campaign') host.raft.campaign();
    else if (event === 'restart') this.#restart(host);
    else if (event === 'partition') this.#partition();
    else if (event === 'unreachable') host.raft.reportUnreachable(1 + this.#dice.below(this.#hosts.length));
    else host.raft.reportSnapshot(1 + this.#dice.below(this.#hosts.length), this.#dice.coin() ? 'failed' : 'finished');
    this.#checkLeaders();
  }

  /** Ends the faults and checks that the cluster comes to rest in one state, with a leader that takes proposals. */
  heal(): void {
    this.#isFaulty = false;
    this.#isolated = new Set();
    const before = this.#promises.committed;
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
      committed: this.#promises.committed,
      terms: this.#promises.terms,
      reads: this.#promises.reads,
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
      if (this.#isFaulty && this.#dice.coin()) return undefined;
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
      ...this.#rules,
      id: host.id,
      storage: host.disk,
      applied: snapshot.index,
      random: () => this.#dice.next(),
    });
  }

  #restart(host: Host): void {
    this.#restarts++;
    this.#boot(host);
  }

  #deliver(): void {
    if (this.#network.length === 0) return;
    const position = this.#isFaulty ? this.#dice.below(this.#network.length) : 0;
    const message = this.#network[position] as Message;
    const dice = this.#isFaulty ? this.#dice.below(10) : 9;
    // One in ten is lost, one in ten stays and comes again later.
    if (dice !== 1) this.#network.splice(position, 1);
    if (dice === 0 || this.#isolated.has(message.from) !== this.#isolated.has(message.to)) return;
    this.#hosts[message.to - 1]?.raft.step(message);
  }

  #handleReady(host: Host): void {
    if (!host.raft.hasReady()) return;
    const ready = host.raft.ready();
    for (const { index, context } of ready.readStates) this.#promises.onAnswer(index, context);
    if (this.#rules.asyncStorageWrites === true) {
      for (const message of ready.messages) {
        if (!isLocalThread(message.to)) this.#post(message);
        else if (message.type === 'MsgStorageAppend') host.appendWork.push(message);
        else host.applyWork.push(message);
      }
      return;
    }
    this.#write(host, ready.hardState, ready.entries, ready.snapshot);
    // A crash here: all is written, nothing is sent.
    if (this.#isFaulty && this.#dice.below(100) === 0) {
      this.#restart(host);
      return;
    }
    for (const message of ready.messages) this.#post(message);
    this.#apply(host, ready.committedEntries);
    host.raft.advance();
  }

  #workQueues(host: Host): void {
    const append = host.appendWork.length > 0 && (host.applyWork.length === 0 || this.#dice.coin());
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
      this.#promises.onInstalled(snapshot.index, host.state);
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
      this.#promises.onApplied(host.id, entry, host.state);
    }
  }

  #propose({ raft }: Host): void {
    raft.propose(numberBytes(++this.#proposals));
  }

  #read({ raft }: Host): void {
    this.#promises.onRead((context) => raft.readIndex(context) === undefined);
  }

  #proposeConfChange({ raft }: Host): void {
    const single = (): ConfChangeSingle => ({
      type: this.#dice.pick([
        'ConfChangeAddNode',
        'ConfChangeAddNode',
        'ConfChangeRemoveNode',
        'ConfChangeAddLearnerNode',
      ]),
      nodeId: 1 + this.#dice.below(this.#hosts.length),
    });
    const dice = this.#dice.below(5);
    const change: ConfChange =
      dice < 2
        ? { kind: 'one-step', ...single(), context: emptyBytes }
        : {
            kind: 'joint',
            transition: this.#dice.pick([
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
    this.#promises.onSent(message);
    this.#network.push(message);
    // The network holds so much and no more.
    if (this.#network.length > 400) this.#network.splice(this.#dice.below(this.#network.length), 1);
  }

  #checkLeaders(): void {
    for (const { id, raft } of this.#hosts) this.#promises.onStatus(id, raft.status());
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

  /** Cuts some nodes off, or heals the cut. */
  #partition(): void {
    const isHealing = this.#isolated.size > 0 && this.#dice.coin();
    this.#isolated = new Set(this.#hosts.map(({ id }) => id).filter(() => !isHealing && this.#dice.below(3) === 0));
  }
}
