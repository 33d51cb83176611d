/**
 * Who must be heard: a leader that hears no majority steps down (check-quorum), nobody votes while it hears a leader (the
 * lease that check-quorum and pre-vote give), and a leadership is handed to whoever has the whole log.
 * Times are those of the run; nodes count in ticks of clocks that drift, so every bound is a little wider than theirs.
 * Source: Ongaro, dissertation (2014), sections 3.10, 4.2.3, 6.2 and 9.6.
 */
import { type ControllerNode, isRetired } from '@fleetmq/controller/sim';
import type { AppendEntriesRequest, RaftEnvelope, VoteRequest, VoteResponse } from '@fleetmq/gen/controller/raft';
import { reachedByQuorum } from '../quorums.ts';
import type { World } from '../world.ts';
import { nameOf, type Observed, type ObservedDisks } from './observed.ts';

/** What one life of a node has heard. */
interface Heard {
  /** From each controller, when. */
  readonly atMs: Map<number, number>;
  /** Since then it has had its chance to hear: it was not paused, and did not begin to lead or to count on others. */
  sinceMs: number;
  /** The last message of a leader that came. */
  leader: { readonly id: number; readonly term: number; readonly atMs: number } | undefined;
  /** By call, candidate and the term that it asks for. */
  readonly asked: Map<string, Asked>;
}

interface Asked {
  readonly atMs: number;
  /** The leader that this node heard when it was asked. */
  readonly lease: { readonly leaderId: number; readonly term: number; readonly untilMs: number } | undefined;
}

/** A vote leaves when it is durable: so long after a question it may be its answer. */
const answerMs = 5_000;

export interface Arrival {
  readonly from: number;
  readonly method: string;
  readonly kind: 'request' | 'response';
  readonly message: unknown;
}

export class Leases {
  readonly #world: World;
  readonly #disks: ObservedDisks;
  readonly #heard = new WeakMap<ControllerNode, Heard>();

  constructor(world: World, disks: ObservedDisks) {
    this.#world = world;
    this.#disks = disks;
  }

  /** A message has reached a node. */
  arrived(seen: Observed, { from, method, kind, message }: Arrival): void {
    const heard = this.#heardBy(seen);
    if (method === 'appendEntries') {
      heard.atMs.set(from, this.#nowMs);
      if (kind === 'request') this.#heardLeader(seen, heard, from, message as AppendEntriesRequest);
    } else if (kind === 'request' && (method === 'preVote' || method === 'requestVote')) {
      this.#wasAsked(seen, heard, { from, method, request: message as VoteRequest });
    }
  }

  /** A vote or a pre-vote leaves a node. */
  voted(seen: Observed, candidate: number, method: string, { voteGranted, term: askedTerm }: VoteResponse): void {
    const lease = this.#heardBy(seen).asked.get(`${method} ${candidate} ${askedTerm}`)?.lease;
    if (!voteGranted || lease === undefined || this.#nowMs >= lease.untilMs) return;
    const { leaderId, term } = (seen.node as ControllerNode).driver.leadership;
    if (leaderId !== lease.leaderId || term !== lease.term) return;
    const text = `${nameOf(seen)} votes for ${candidate} in term ${term}, and hears ${leaderId}`;
    this.#fail('nobody votes while it hears a leader', text);
  }

  /** A leader tells this controller to take over. */
  handsOver(seen: Observed, target: number): void {
    const { driver, stateMachine } = seen.node as ControllerNode;
    const holder = this.#disks.holderOf(target, { membership: stateMachine.membership });
    const { lastIndex } = driver.status();
    if (holder === undefined || holder.storage.lastIndex() >= lastIndex) return;
    const text = `${nameOf(seen)} has ${lastIndex}, controller ${target} ${holder.storage.lastIndex()}`;
    this.#fail('a leadership is handed to who has the whole log', text);
  }

  /** It was not its own fault if it has heard nobody until now. */
  heldUp(seen: Observed): void {
    this.#heardBy(seen).sinceMs = this.#nowMs;
  }

  look(seen: Observed, { driver, controllerId }: ControllerNode): void {
    if (driver.leadership.role !== 'StateLeader') return;
    const heard = this.#heardBy(seen);
    const { electionTicks, tickMs } = this.#ticks;
    // Each check looks at what came since the one before.
    const limitMs = (2 * electionTicks + 1) * tickMs;
    const heardAtMs = (id: number): number =>
      id === controllerId ? this.#nowMs : Math.max(heard.sinceMs, heard.atMs.get(id) ?? 0);
    const silentMs = this.#nowMs - reachedByQuorum(driver.confState, heardAtMs);
    if (silentMs <= limitMs) return;
    const text = `${nameOf(seen)} leads term ${driver.leadership.term}, silent for ${silentMs.toFixed(0)} ms`;
    this.#fail('a leader that hears no majority steps down', text);
  }

  #heardLeader(seen: Observed, heard: Heard, from: number, { term, envelope }: AppendEntriesRequest): void {
    if (isRefused(seen, from, envelope)) return;
    heard.leader = { id: from, term: Number(term), atMs: this.#nowMs };
  }

  #wasAsked(
    seen: Observed,
    heard: Heard,
    { from, method, request }: { readonly from: number; readonly method: string; readonly request: VoteRequest },
  ): void {
    const key = `${method} ${from} ${request.term}`;
    const before = heard.asked.get(key);
    // What it was free to promise when it was asked first may still be on its way to the disk.
    if (before !== undefined && before.lease === undefined && this.#nowMs - before.atMs < answerMs) return;
    heard.asked.set(key, { atMs: this.#nowMs, lease: this.#leaseAgainst(seen, heard, from, request) });
  }

  /** Why this node must not vote for the candidate now. */
  #leaseAgainst(seen: Observed, heard: Heard, candidate: number, request: VoteRequest): Asked['lease'] {
    const { leaderId, term, role } = (seen.node as ControllerNode).driver.leadership;
    // Who leads may have asked for the vote that made it leader: that vote may be told again.
    const isRepeated = candidate === leaderId && request.term <= term;
    if (request.leadershipTransfer || leaderId === 0 || isRepeated) return undefined;
    if (role === 'StateLeader') return { leaderId, term, untilMs: Number.POSITIVE_INFINITY };
    const { leader } = heard;
    if (leader?.id !== leaderId || leader.term !== term) return undefined;
    const { electionTicks, tickMs } = this.#ticks;
    const leaseMs = (electionTicks - 1) * tickMs * (1 - 2 * this.#world.seed.clockDrift);
    return { leaderId, term, untilMs: leader.atMs + leaseMs };
  }

  /** At the slowest. */
  get #ticks(): { readonly electionTicks: number; readonly tickMs: number } {
    const { electionMs, heartbeatMs, clockDrift } = this.#world.seed;
    return { electionTicks: Math.max(2, Math.round(electionMs / heartbeatMs)), tickMs: heartbeatMs / (1 - clockDrift) };
  }

  #heardBy({ node }: Observed): Heard {
    const known = this.#heard.get(node as ControllerNode);
    if (known !== undefined) return known;
    const heard = { atMs: new Map(), sinceMs: this.#nowMs, leader: undefined, asked: new Map() };
    this.#heard.set(node as ControllerNode, heard);
    return heard;
  }

  get #nowMs(): number {
    return this.#world.scheduler.time.nowMs;
  }

  #fail(name: string, text: string): void {
    this.#world.fail('safety', name, text);
  }
}

/** A message for a disk that this node had before, or of a leader that was removed as this node has applied it. */
function isRefused({ node, diskId }: Observed, from: number, envelope: RaftEnvelope | undefined): boolean {
  const { senderDiskId = '', targetDiskId = '' } = envelope ?? {};
  const { membership } = (node as ControllerNode).stateMachine;
  return (targetDiskId !== '' && targetDiskId !== diskId) || isRetired(membership, from, senderDiskId);
}
