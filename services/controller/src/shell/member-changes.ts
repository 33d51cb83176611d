/**
 * Changes of the quorum's members, on the leader: adding a learner, promoting it once it has caught up, removing a member,
 * and writing down the disks of the first voters.
 *
 * One change at a time: a change is proposed only when the one before is applied, or certainly lost; until then others are
 * refused (NOT_AVAILABLE, to be repeated). Each change carries the whole membership as of after it, so applying it needs no
 * knowledge of earlier ones, and who is to be promoted stands in the log: a new leader goes on where the old one stopped.
 * A change takes effect when it is applied (see packages/raft/src/membership.ts), and it is answered then.
 * A leader that shall go hands over first and names its successor; it never removes itself unless it is forced to.
 * Source: Ongaro, dissertation (2014), chapter 4.
 */
import type { ConfChangeType, Entry } from '@fleetmq/raft';
import {
  type Clock,
  DomainError,
  type Logger,
  type LogIndex,
  type Term,
  type Timer,
  type Timers,
} from '@fleetmq/shared';
import { type CatchUpRound, judgeLearner } from '../domain/catch-up.ts';
import {
  type Member,
  type Membership,
  memberOf,
  planAddition,
  refusalOfAddress,
  refusalToRemove,
  withDisks,
  withoutMember,
  withoutPromotion,
} from '../domain/membership.ts';
import type { PeerAddress } from '../domain/peers.ts';
import { encodeMembership } from '../wire/membership.ts';
import type { LeadershipState } from './leadership.ts';
import type { LinearReads } from './linear-reads.ts';
import type { Quorum } from './quorum.ts';
import type { RaftDriver } from './raft-driver.ts';
import type { RaftIdentity } from './raft-identity.ts';

/** What a controller says of itself. */
export interface JoinerReport {
  readonly controllerId: number;
  readonly diskId: string;
  /** Empty: none yet. */
  readonly clusterId: string;
  readonly state: string;
}

export interface MemberChangesOptions {
  readonly controllerId: number;
  readonly driver: RaftDriver;
  readonly leadership: LeadershipState;
  readonly identity: RaftIdentity;
  readonly quorum: Quorum;
  readonly reads: Pick<LinearReads, 'read'>;
  readonly membership: () => Membership;
  readonly appliedIndex: () => LogIndex;
  readonly addresses: { get(controllerId: number): PeerAddress | undefined };
  readonly clusterId: () => string;
  /** Asks whoever runs at an address. */
  readonly askJoiner: (address: { host: string; port: number }, signal: AbortSignal) => Promise<JoinerReport>;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  /** A round of catching up that is shorter is short enough. */
  readonly electionTimeoutMs: number;
  /** How often learners are looked at. */
  readonly checkMs: number;
  /** Longest wait for a change to be committed. Default 10 s. */
  readonly timeoutMs?: number;
}

export interface AddRequest {
  /** 0: whichever runs at the address. */
  readonly controllerId: number;
  readonly host: string;
  readonly port: number;
  /** Empty: the controller at the address is asked. */
  readonly diskId: string;
  readonly learnerOnly: boolean;
}

interface Step {
  readonly type: ConfChangeType;
  readonly nodeId: number;
}

interface Pending {
  readonly index: LogIndex;
  readonly term: Term;
  readonly what: string;
  done(): void;
  fail(error: DomainError): void;
}

export class MemberChanges implements Disposable {
  readonly #options: MemberChangesOptions;
  readonly #ticker: Timer;
  readonly #rounds = new Map<number, CatchUpRound>();
  #pending: Pending | undefined;

  constructor(options: MemberChangesOptions) {
    this.#options = options;
    this.#ticker = options.timers.every(options.checkMs, () => this.#look());
    options.leadership.addListener(({ isLeader }) => {
      if (isLeader) return;
      this.#rounds.clear();
      this.#pending?.fail(unknownOutcome(this.#pending.what, 'this controller does not lead any more'));
    });
  }

  [Symbol.dispose](): void {
    this.#ticker.cancel();
    this.#pending?.fail(unknownOutcome(this.#pending.what, 'this controller is stopping'));
  }

  /**
   * Resolves with the controller's id once the quorum has it as a learner. For a member with the same disk: once its address is
   * known to the quorum, and that it is to be promoted; asking again, just so, changes nothing. INVALID_REQUEST, LIMIT_EXCEEDED, NOT_AVAILABLE (another change is under way, or nobody runs at the
   * address), NOT_LEADER, WRONG_CLUSTER, TIMEOUT.
   */
  async add(request: AddRequest, signal: AbortSignal): Promise<number> {
    this.#options.leadership.requireReady();
    const notThere = refusalOfAddress(request);
    if (notThere !== undefined) throw notThere;
    const member = request.diskId === '' ? await this.#identify(request, signal) : memberFrom(request);
    const { controllerId } = member;
    const { voters } = this.#options.driver.confState;
    const kinds = { promote: !request.learnerOnly, isVoter: voters.includes(controllerId) };
    // As of after the wait.
    const plan = planAddition(this.#current(), member, kinds);
    if (plan.kind === 'refused') throw plan.error;
    if (plan.kind === 'nothing') return controllerId;
    const isNew = plan.kind === 'add';
    const change = { type: isNew ? 'ConfChangeAddLearnerNode' : 'ConfChangeUpdateNode', nodeId: controllerId } as const;
    await this.#change(change, plan.next, `${isNew ? 'adding' : 'updating'} controller ${controllerId}`, signal);
    return controllerId;
  }

  /**
   * Resolves once the quorum is without it. INVALID_REQUEST (no member, or the only voter), NOT_ENOUGH_REPLICAS (the rest
   * would have no active majority), NOT_LEADER with a hint after this controller has handed over because it is the one to be
   * removed, NOT_AVAILABLE, TIMEOUT.
   */
  async remove(controllerId: number, options: { force: boolean; signal: AbortSignal }): Promise<void> {
    const { leadership, driver, quorum, reads, logger } = this.#options;
    const { force, signal } = options;
    // A leader that is cut off must not judge who is active.
    if (force) leadership.requireReady();
    else await reads.read(signal);
    const { voters, learners } = driver.confState;
    const isActive = (id: number): boolean => quorum.isActive(id);
    const refused = refusalToRemove({ controllerId, voters, learners, isActive, force });
    if (refused !== undefined) throw refused;
    if (controllerId === this.#options.controllerId) await this.#handOver(force, signal);
    if (force) logger.warn({ audit: true, controller: controllerId, voters }, 'the removal of a controller is forced');
    const next = withoutMember(this.#current(), controllerId);
    const change = { type: 'ConfChangeRemoveNode', nodeId: controllerId } as const;
    await this.#change(change, next, `removing controller ${controllerId}`, signal);
  }

  /** An entry of the log was applied. */
  applied(entry: Pick<Entry, 'index' | 'term' | 'type'>): void {
    const pending = this.#pending;
    if (pending === undefined || entry.index < pending.index) return;
    if (entry.index === pending.index && entry.term === pending.term && entry.type !== 'EntryNormal') pending.done();
    else pending.fail(new DomainError('PROPOSAL_DROPPED', `${pending.what}: another change came first`));
  }

  /** Another snapshot took the place of the log: what became of the change is not known. */
  restored(): void {
    this.#pending?.fail(unknownOutcome(this.#pending.what, 'this controller was behind'));
  }

  async #identify(request: AddRequest, signal: AbortSignal): Promise<Member> {
    const { host, port } = request;
    const { controllerId, diskId, clusterId, state } = await this.#options.askJoiner({ host, port }, signal);
    const place = `${host}:${port}`;
    if (request.controllerId !== 0 && request.controllerId !== controllerId) {
      throw new DomainError(
        'INVALID_REQUEST',
        `controller ${controllerId}, not ${request.controllerId}, is at ${place}`,
      );
    }
    const ours = this.#options.clusterId();
    if (clusterId !== '' && ours !== '' && clusterId !== ours) {
      throw new DomainError('WRONG_CLUSTER', `the controller at ${place} belongs to cluster ${clusterId}, not ${ours}`);
    }
    const member = { controllerId, host, port, diskId };
    if (state === 'member' && memberOf(this.#current(), controllerId)?.diskId !== diskId) {
      throw new DomainError(
        'INVALID_REQUEST',
        `controller ${controllerId} at ${place} is a member of a quorum already: start it with quorum.join = true and an ` +
          'empty data folder',
      );
    }
    return member;
  }

  /** The agreed members, completed by the addresses that `quorum.peers` names and the disks that have spoken by now. */
  #current(): Membership {
    const { membership, driver, addresses, identity } = this.#options;
    const { voters, learners } = driver.confState;
    const ids = [...voters, ...learners].sort((left, right) => left - right);
    const members = ids.map((controllerId) => {
      const { host, port } = addresses.get(controllerId) ?? { host: '', port: 0 };
      return { controllerId, host, port, diskId: identity.diskOf(controllerId) ?? '' };
    });
    return { ...membership(), members };
  }

  async #handOver(force: boolean, signal: AbortSignal): Promise<void> {
    const { quorum, leadership, logger } = this.#options;
    try {
      await quorum.transferLeadership(0, signal);
    } catch (error) {
      if (!force) throw error;
      logger.warn({ audit: true, error }, 'nobody took over: the leader removes itself');
      return;
    }
    // Its successor does the rest.
    throw leadership.notLeader();
  }

  #change(change: Step, next: Membership, what: string, signal: AbortSignal): Promise<void> {
    const { driver, leadership, timers, timeoutMs = 10_000 } = this.#options;
    leadership.requireReady();
    if (this.#pending !== undefined) throw this.#busy(this.#pending.what);
    if (driver.unappliedConfChanges().length > 0) throw this.#busy('an earlier change');
    const place = driver.proposeConfChange({ kind: 'one-step', ...change, context: encodeMembership(next) });
    if (place instanceof DomainError) throw place;
    this.#options.logger.info({ audit: true, ...place, members: next.members }, what);
    return new Promise((resolve, reject) => {
      // The caller's wait may end before the change does: the place stays taken until the entry is applied.
      const giveUp = (why: string): void => {
        timer.cancel();
        reject(unknownOutcome(what, why));
      };
      const onAbort = (): void => giveUp('the caller gave up');
      const timer = timers.after(timeoutMs, () => giveUp(`no answer in ${timeoutMs} ms`));
      const end = (): void => {
        timer.cancel();
        signal.removeEventListener('abort', onAbort);
        this.#pending = undefined;
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#pending = {
        ...place,
        what,
        done: () => {
          end();
          resolve();
        },
        fail: (error) => {
          end();
          reject(error);
        },
      };
    });
  }

  #busy(what: string): DomainError {
    return new DomainError('NOT_AVAILABLE', `${what} is not finished: one change of the quorum at a time`, {
      retryAfterMs: 100,
    });
  }

  /** What the leader does by itself. */
  #look(): void {
    const { leadership, driver } = this.#options;
    if (!leadership.isReady || driver.isStopped || this.#pending !== undefined) return;
    this.#noteDisks();
    if (this.#pending === undefined) this.#promoteWhoIsReady();
  }

  #noteDisks(): void {
    const { membership, driver, identity, controllerId } = this.#options;
    const { voters, learners } = driver.confState;
    const diskOf = (id: number): string | undefined => identity.diskOf(id);
    const next = withDisks(membership(), [...voters, ...learners], { ownId: controllerId, diskOf });
    if (next !== undefined) this.#propose({ type: 'ConfChangeUpdateNode', nodeId: controllerId }, next, 'noting disks');
  }

  #promoteWhoIsReady(): void {
    const { driver, membership, clock, electionTimeoutMs, quorum } = this.#options;
    const { promoting } = membership();
    for (const id of this.#rounds.keys()) if (!promoting.includes(id)) this.#rounds.delete(id);
    if (promoting.length === 0) return;
    const { progress, lastIndex } = driver.status();
    for (const id of promoting) {
      const isActive = quorum.isActive(id);
      const state = { matchIndex: progress.get(id)?.match ?? 0, isActive, lastIndex, nowMs: clock.monotonicMs() };
      const verdict = judgeLearner(this.#rounds.get(id), state, electionTimeoutMs);
      if (verdict.kind === 'wait') {
        this.#rounds.set(id, verdict.round);
        continue;
      }
      const next = withoutPromotion(this.#current(), id);
      this.#propose({ type: 'ConfChangeAddNode', nodeId: id }, next, `promoting controller ${id}`);
      return;
    }
  }

  /** A change that nobody waits for: if it does not come through, the next look sees that. */
  #propose(change: Step, next: Membership, what: string): void {
    const failed = (error: unknown): void => this.#options.logger.info({ error }, `${what} did not work: again soon`);
    try {
      this.#change(change, next, what, new AbortController().signal).catch(failed);
    } catch (error) {
      failed(error);
    }
  }
}

function memberFrom({ controllerId, host, port, diskId }: AddRequest): Member {
  return { controllerId, host, port, diskId };
}

function unknownOutcome(what: string, why: string): DomainError {
  return new DomainError('TIMEOUT', `${what}: ${why}; whether it will be carried out is unknown`);
}
