/**
 * Changes of the quorum's members, on the leader: adding a learner, promoting it once it has caught up, putting it in the
 * place of a voter, removing a member, and writing down the disks of the first voters.
 *
 * One change at a time (`conf-proposals.ts`). Who is to be promoted, and in whose place, stands in the log: a new leader goes on
 * where the old one stopped. A replacement is one joint change, entered and left explicitly, so that the quorum is never
 * larger or smaller by it (dissertation, section 4.3); the one that goes is a member, with its address, until it is left.
 * A leader that shall go hands over first and names its successor; it never removes itself unless it is forced to, or has
 * nobody to hand over to.
 * Source: Ongaro, dissertation (2014), chapter 4.
 */
import { type FeatureLevels, requireLevel, unsupportedFeature } from '@fleetmq/metadata';
import { type ConfChangeType, memberIds } from '@fleetmq/raft';
import { type Clock, DomainError, type Logger, type Timer, type Timers } from '@fleetmq/shared';
import { type CatchUpRound, judgeLearner } from '../domain/catch-up.ts';
import {
  type Addition,
  type Member,
  type Membership,
  memberOf,
  planAddition,
  planReplacement,
  refusalOfAddress,
  refusalToRemove,
  replacedBy,
  withDisks,
  withoutMember,
  withoutPromotion,
} from '../domain/membership.ts';
import type { PeerAddress } from '../domain/peers.ts';
import type { ConfProposals, ConfStep } from './conf-proposals.ts';
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
  /** What it knows. */
  readonly features: FeatureLevels;
}

export interface MemberChangesOptions {
  readonly controllerId: number;
  readonly driver: RaftDriver;
  readonly leadership: LeadershipState;
  readonly identity: RaftIdentity;
  readonly quorum: Quorum;
  readonly reads: Pick<LinearReads, 'read'>;
  readonly proposals: ConfProposals;
  readonly membership: () => Membership;
  /** Levels that the cluster uses. */
  readonly featuresInUse: () => FeatureLevels;
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
}

interface JoinRequest {
  /** 0: whichever runs at the address. */
  readonly controllerId: number;
  readonly host: string;
  readonly port: number;
  /** Empty: the controller at the address is asked. */
  readonly diskId: string;
}

export interface AddRequest extends JoinRequest {
  readonly learnerOnly: boolean;
}

export interface ReplaceRequest extends JoinRequest {
  /** The voter that goes. */
  readonly replacedId: number;
}

export class MemberChanges implements Disposable {
  readonly #options: MemberChangesOptions;
  readonly #ticker: Timer;
  readonly #rounds = new Map<number, CatchUpRound>();
  #handingOver = false;

  constructor(options: MemberChangesOptions) {
    this.#options = options;
    this.#ticker = options.timers.every(options.checkMs, () => this.#look());
    options.leadership.addListener(({ isLeader }) => {
      if (!isLeader) this.#rounds.clear();
    });
  }

  [Symbol.dispose](): void {
    this.#ticker.cancel();
  }

  /**
   * Resolves with the controller's id once the quorum has it as a learner. For a member with the same disk: once its address is
   * known to the quorum, and that it is to be promoted; asking again, just so, changes nothing. INVALID_REQUEST, LIMIT_EXCEEDED, NOT_AVAILABLE (another change is under way, or nobody runs at the
   * address), NOT_LEADER, WRONG_CLUSTER, TIMEOUT.
   */
  async add(request: AddRequest, signal: AbortSignal): Promise<number> {
    const member = await this.#newcomer(request, signal);
    const { driver } = this.#options;
    const plan = (): Addition => {
      const isVoter = driver.confState.voters.includes(member.controllerId);
      return planAddition(this.#current(), member, { promote: !request.learnerOnly, isVoter });
    };
    await this.#carryOut(plan, member.controllerId, signal);
    return member.controllerId;
  }

  /**
   * As `add`; later, once the new one has caught up, it votes in the place of the old one. UNSUPPORTED_VERSION below
   * metadata.version 2.
   */
  async replace(request: ReplaceRequest, signal: AbortSignal): Promise<number> {
    const { replacedId } = request;
    const what = 'replacing a controller';
    // A controller that lags, that waits to be added, or that was deposed without knowing it, knows no level to refuse by.
    await this.#options.reads.read(signal);
    requireLevel(this.#options.featuresInUse(), { name: 'metadata.version', level: 2, what });
    const member = await this.#newcomer(request, signal);
    const { driver } = this.#options;
    const plan = (): Addition => {
      return planReplacement(this.#current(), member, { replacedId, voters: driver.confState.voters });
    };
    await this.#carryOut(plan, member.controllerId, signal);
    return member.controllerId;
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
    const step = oneStep('ConfChangeRemoveNode', controllerId);
    await this.#options.proposals.propose(step, next, { what: `removing controller ${controllerId}`, signal });
  }

  async #newcomer(request: JoinRequest, signal: AbortSignal): Promise<Member> {
    this.#options.leadership.requireReady();
    const notThere = refusalOfAddress(request);
    if (notThere !== undefined) throw notThere;
    return request.diskId === '' ? await this.#identify(request, signal) : memberFrom(request);
  }

  /** A refusal rests on what a quorum has confirmed: this controller may have been deposed without knowing it. */
  async #carryOut(planNow: () => Addition, controllerId: number, signal: AbortSignal): Promise<void> {
    let plan = planNow();
    if (plan.kind === 'refused') {
      await this.#options.reads.read(signal);
      plan = planNow();
    }
    if (plan.kind === 'refused') throw plan.error;
    if (plan.kind === 'nothing') return;
    const isNew = plan.kind === 'add';
    const step = oneStep(isNew ? 'ConfChangeAddLearnerNode' : 'ConfChangeUpdateNode', controllerId);
    const what = `${isNew ? 'adding' : 'updating'} controller ${controllerId}`;
    await this.#options.proposals.propose(step, plan.next, { what, signal });
  }

  async #identify(request: JoinRequest, signal: AbortSignal): Promise<Member> {
    const { host, port } = request;
    const joiner = await this.#options.askJoiner({ host, port }, signal);
    const { controllerId, diskId, clusterId, state } = joiner;
    const place = `${host}:${port}`;
    const why = unsupportedFeature(this.#options.featuresInUse(), joiner.features);
    if (why !== undefined) {
      throw new DomainError('UNSUPPORTED_VERSION', `controller ${controllerId} at ${place} is too old: ${why}`);
    }
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
    const members = memberIds(driver.confState).map((controllerId) => {
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

  /** What the leader does by itself. */
  #look(): void {
    const { leadership, driver, proposals } = this.#options;
    if (!leadership.isReady || driver.isStopped || proposals.isBusy) return;
    if (driver.confState.votersOutgoing.length > 0) {
      this.#leaveJoint();
      return;
    }
    this.#noteDisks();
    if (!proposals.isBusy) this.#promoteWhoIsReady();
  }

  #noteDisks(): void {
    const { membership, driver, identity, controllerId } = this.#options;
    const diskOf = (id: number): string | undefined => identity.diskOf(id);
    const next = withDisks(membership(), memberIds(driver.confState), { ownId: controllerId, diskOf });
    if (next !== undefined) this.#propose(oneStep('ConfChangeUpdateNode', controllerId), next, 'noting disks');
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
      const replacedId = replacedBy(membership(), id);
      if (replacedId === undefined) this.#promote(id);
      else this.#takeThePlaceOf(replacedId, id);
      return;
    }
  }

  #promote(id: number): void {
    const next = withoutPromotion(this.#current(), id);
    this.#propose(oneStep('ConfChangeAddNode', id), next, `promoting controller ${id}`);
  }

  /** Enters the joint configuration. The old one stays a member of it, with its address, until it is left. */
  #takeThePlaceOf(replacedId: number, id: number): void {
    if (this.#isHandedOver(replacedId)) return;
    const step: ConfStep = {
      kind: 'joint',
      transition: 'ConfChangeTransitionJointExplicit',
      changes: [
        { type: 'ConfChangeAddNode', nodeId: id },
        { type: 'ConfChangeRemoveNode', nodeId: replacedId },
      ],
    };
    const next = withoutPromotion(this.#current(), id);
    this.#propose(step, next, `controller ${id} takes the place of controller ${replacedId}`);
  }

  #leaveJoint(): void {
    const { voters, learners, votersOutgoing } = this.#options.driver.confState;
    const leaving = votersOutgoing.filter((id) => !voters.includes(id) && !learners.includes(id));
    const next = leaving.reduce(withoutMember, this.#current());
    const step: ConfStep = { kind: 'joint', transition: 'ConfChangeTransitionAuto', changes: [] };
    this.#propose(step, next, `leaving the joint configuration, without controller ${leaving.join(', ')}`);
  }

  /** A leader that is to go lets another voter do the rest, if there is one. */
  #isHandedOver(replacedId: number): boolean {
    const { controllerId, quorum, logger } = this.#options;
    const hasSuccessor = quorum
      .members()
      .some((each) => each.isVoter && each.isActive && each.controllerId !== controllerId);
    if (replacedId !== controllerId || !hasSuccessor) return false;
    if (this.#handingOver) return true;
    this.#handingOver = true;
    quorum
      .transferLeadership(0, new AbortController().signal)
      .catch((error: unknown) => logger.info({ error }, 'the leadership was not handed over: again soon'))
      .finally(() => {
        this.#handingOver = false;
      });
    return true;
  }

  /** A change that nobody waits for: if it does not come through, the next look sees that. */
  #propose(step: ConfStep, next: Membership, what: string): void {
    const { proposals, logger } = this.#options;
    const failed = (error: unknown): void => logger.info({ error }, `${what} did not work: again soon`);
    try {
      proposals.propose(step, next, { what, signal: new AbortController().signal }).catch(failed);
    } catch (error) {
      failed(error);
    }
  }
}

function oneStep(type: ConfChangeType, nodeId: number): ConfStep {
  return { kind: 'one-step', type, nodeId };
}

function memberFrom({ controllerId, host, port, diskId }: JoinRequest): Member {
  return { controllerId, host, port, diskId };
}
