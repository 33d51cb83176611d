/**
 * The quorum as operators see and steer it: who votes, how far each has come, who leads, and handing the leadership over.
 */
import { type EntryId, type Message, memberIds, type RaftStatus } from '@fleetmq/raft';
import { type Clock, DomainError, type LogIndex, type Term, type Timers } from '@fleetmq/shared';
import type { Membership } from '../domain/membership.ts';
import type { MemberStatus, QuorumReport } from '../domain/quorum-report.ts';
import type { ControllerEndpoints, LeadershipState } from './leadership.ts';
import type { RaftDriver } from './raft-driver.ts';
import type { RaftIdentity } from './raft-identity.ts';
import type { DiskRaftStorage } from './raft-storage.ts';

export interface QuorumOptions {
  readonly controllerId: number;
  readonly driver: RaftDriver;
  readonly storage: DiskRaftStorage;
  readonly identity: RaftIdentity;
  readonly leadership: LeadershipState;
  readonly addresses: ControllerEndpoints;
  readonly membership: () => Membership;
  readonly appliedIndex: () => LogIndex;
  readonly clock: Clock;
  readonly timers: Timers;
  /** A transfer that takes longer is given up by the core. */
  readonly electionTimeoutMs: number;
}

/** Controllers of which is kept when they were heard of. */
const heardMax = 64;

export class Quorum {
  readonly #options: QuorumOptions;
  /** When each member was heard of, by the monotonic clock. */
  readonly #heardAtMs = new Map<number, number>();

  constructor(options: QuorumOptions) {
    this.#options = options;
  }

  /** A message of this member has come. */
  heard(controllerId: number): void {
    // Who is behind hears from members that it does not know; more than there can be are not kept.
    if (this.#heardAtMs.size >= heardMax && !this.#heardAtMs.has(controllerId)) this.#heardAtMs.clear();
    this.#heardAtMs.set(controllerId, this.#options.clock.monotonicMs());
  }

  /** This node, or one that was heard of within an election timeout. Known to the leader alone. */
  isActive(controllerId: number): boolean {
    return this.#isActive(controllerId, this.#options.driver.status());
  }

  /** Since a message of anybody came; Infinity if none ever has. */
  silenceMs(): number {
    const newest = Math.max(...this.#heardAtMs.values());
    return this.#options.clock.monotonicMs() - newest;
  }

  /** Whether a log that ends with this entry has more than this node's. */
  isBehind({ index, term }: EntryId): boolean {
    const { storage } = this.#options;
    const lastIndex = storage.lastIndex();
    const lastTerm = storage.term(lastIndex) ?? 0;
    return term > lastTerm || (term === lastTerm && index > lastIndex);
  }

  status(): RaftStatus {
    return this.#options.driver.status();
  }

  /** By id. */
  members(): readonly MemberStatus[] {
    const { driver, addresses, membership } = this.#options;
    const status = driver.status();
    const { confState } = driver;
    const { promoting } = membership();
    return memberIds(confState).map((id) => {
      const { host, port } = addresses.get(id) ?? { host: '', port: 0 };
      return {
        controllerId: id,
        host,
        port,
        isLeader: id === status.lead,
        isVoter: confState.voters.includes(id) || confState.votersOutgoing.includes(id),
        isPromoting: promoting.includes(id),
        isActive: this.#isActive(id, status),
        matchIndex: status.progress.get(id)?.match ?? 0,
      };
    });
  }

  /** This node's own view. */
  report(): QuorumReport {
    const { driver, storage, identity, controllerId, appliedIndex } = this.#options;
    const { lead, term, commit, lastIndex } = driver.status();
    return {
      controllerId,
      confState: driver.confState,
      members: this.members().map((member) => ({ ...member, diskId: identity.diskOf(member.controllerId) ?? '' })),
      progress: this.#progress(),
      leaderId: lead,
      term,
      commitIndex: commit,
      appliedIndex: appliedIndex(),
      lastIndex,
      firstIndex: storage.firstIndex(),
    };
  }

  /** WRONG_TARGET unless the sender leads the current term: a TimeoutNow of anybody else is old, or no leader's. */
  requireLeaderOfTerm(message: Message): void {
    const { lead, term } = this.#options.driver.status();
    if (message.from === lead && message.term === term) return;
    throw new DomainError('STALE_EPOCH', `controller ${message.from} does not lead term ${term}`);
  }

  /** `target` 0: the most advanced voter. Resolves when another node leads. NOT_ENOUGH_REPLICAS, NOT_AVAILABLE: it does not. */
  async transferLeadership(target: number, signal: AbortSignal): Promise<{ leaderId: number; term: Term }> {
    const { driver, leadership, controllerId, timers, electionTimeoutMs } = this.#options;
    leadership.requireReady();
    const { voters } = driver.confState;
    const chosen = target === 0 ? this.#mostAdvanced() : target;
    if (chosen === undefined) {
      throw new DomainError('NOT_ENOUGH_REPLICAS', 'no other voter is active', { retriable: false });
    }
    if (!voters.includes(chosen)) throw new DomainError('INVALID_REQUEST', `controller ${chosen} does not vote`);
    if (chosen === controllerId) return { leaderId: controllerId, term: leadership.term };
    driver.transferLeader(chosen);
    // The core gives up after an election timeout; the new leader may need as long again to be heard of.
    const wait = { timers, timeoutMs: 2 * electionTimeoutMs, signal };
    const hasMoved = (): boolean => leadership.leaderId !== 0 && leadership.leaderId !== controllerId;
    if (await leadership.waitFor(hasMoved, wait)) return { leaderId: leadership.leaderId, term: leadership.term };
    throw new DomainError('NOT_AVAILABLE', `controller ${chosen} did not take over in time`);
  }

  #mostAdvanced(): number | undefined {
    const others = this.members().filter(({ controllerId, isVoter, isActive }) => {
      return controllerId !== this.#options.controllerId && isVoter && isActive;
    });
    return others.sort((left, right) => right.matchIndex - left.matchIndex)[0]?.controllerId;
  }

  /** The core forgets whom it has heard at each check of the quorum: what came since then counts, too. */
  #isActive(id: number, { progress }: RaftStatus): boolean {
    const { controllerId, clock, electionTimeoutMs } = this.#options;
    const known = progress.get(id);
    if (id === controllerId || known?.recentActive === true) return true;
    const heardAtMs = this.#heardAtMs.get(id);
    return known !== undefined && heardAtMs !== undefined && clock.monotonicMs() - heardAtMs < electionTimeoutMs;
  }

  #progress(): QuorumReport['progress'] {
    const { driver, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    const status = driver.status();
    return [...status.progress].map(([id, { state, match }]) => {
      const heardAtMs = this.#heardAtMs.get(id);
      return {
        controllerId: id,
        state,
        matchIndex: match,
        isActive: this.#isActive(id, status),
        lastContactMs: heardAtMs === undefined ? undefined : nowMs - heardAtMs,
      };
    });
  }
}
