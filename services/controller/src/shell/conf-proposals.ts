/**
 * Changes of the quorum's configuration as promises: one at a time, each with the whole membership as of after it.
 *
 * A change is proposed only when the one before is applied, or certainly lost; until then others are refused (NOT_AVAILABLE,
 * to be repeated). It takes effect when it is applied (packages/raft/src/membership.ts), and is answered then. While the
 * configuration is a joint one, nothing but leaving it is proposed.
 * Source: Ongaro, dissertation (2014), sections 4.1 and 4.3.
 */
import type { ConfChange, Entry, JointConfChange, OneStepConfChange } from '@fleetmq/raft';
import { DomainError, type Logger, type LogIndex, type Term, type Timers } from '@fleetmq/shared';
import type { Membership } from '../domain/membership.ts';
import { encodeMembership } from '../wire/membership.ts';
import type { LeadershipState } from './leadership.ts';
import type { RaftDriver } from './raft-driver.ts';

export interface ConfProposalsOptions {
  readonly driver: RaftDriver;
  readonly leadership: LeadershipState;
  readonly timers: Timers;
  readonly logger: Logger;
  /** Longest wait for a change to be committed. Default 10 s. */
  readonly timeoutMs?: number;
}

/** A change without its context, which is the membership. */
export type ConfStep = Omit<OneStepConfChange, 'context'> | Omit<JointConfChange, 'context'>;

interface Pending {
  readonly index: LogIndex;
  readonly term: Term;
  readonly what: string;
  done(): void;
  fail(error: DomainError): void;
}

export class ConfProposals implements Disposable {
  readonly #options: ConfProposalsOptions;
  #pending: Pending | undefined;

  constructor(options: ConfProposalsOptions) {
    this.#options = options;
    options.leadership.addListener(({ isLeader }) => {
      if (!isLeader) this.#lost('this controller does not lead any more');
    });
  }

  [Symbol.dispose](): void {
    this.#lost('this controller is stopping');
  }

  get isBusy(): boolean {
    return this.#pending !== undefined;
  }

  /**
   * Resolves when the change is applied here. Throws at once when it cannot be proposed: NOT_LEADER, NOT_AVAILABLE (another
   * change is under way), PROPOSAL_DROPPED. Rejects with PROPOSAL_DROPPED when it is certainly lost, with TIMEOUT when nobody knows.
   */
  propose(step: ConfStep, next: Membership, options: { what: string; signal: AbortSignal }): Promise<void> {
    const { driver, leadership, logger } = this.#options;
    const { what, signal } = options;
    leadership.requireReady();
    this.#refuseWhileBusy(step);
    const place = driver.proposeConfChange({ ...step, context: encodeMembership(next) } as ConfChange);
    if (place instanceof DomainError) throw place;
    logger.info({ audit: true, ...place, members: next.members }, what);
    return this.#settled(place, what, signal);
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
    this.#lost('this controller was behind');
  }

  #refuseWhileBusy(step: ConfStep): void {
    const { driver } = this.#options;
    if (this.#pending !== undefined) throw busy(this.#pending.what);
    if (driver.unappliedConfChanges().length > 0) throw busy('an earlier change');
    const isLeaving = step.kind === 'joint' && step.changes.length === 0;
    if (driver.confState.votersOutgoing.length > 0 && !isLeaving) throw busy('the replacement of a controller');
  }

  #lost(why: string): void {
    const pending = this.#pending;
    pending?.fail(unknownOutcome(pending.what, why));
  }

  #settled(place: { index: LogIndex; term: Term }, what: string, signal: AbortSignal): Promise<void> {
    const { timers, timeoutMs = 10_000 } = this.#options;
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
}

function busy(what: string): DomainError {
  return new DomainError('NOT_AVAILABLE', `${what} is not finished: one change of the quorum at a time`, {
    retryAfterMs: 100,
  });
}

function unknownOutcome(what: string, why: string): DomainError {
  return new DomainError('TIMEOUT', `${what}: ${why}; whether it will be carried out is unknown`);
}
