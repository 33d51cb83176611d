/**
 * What this node is to the quorum: a member, one that waits to be added, or one that was removed.
 *
 * A removed node mostly never hears of it: it is not sent anything any more. It finds out in one of three ways: it applies
 * its own removal, a member refuses its vote and says why, or, when it has no vote to ask for, it asks the members after a
 * silence. From then on it stays quiet: it starts no elections, knows no leader, and says so; its disk never comes back.
 * A node that is asked first and removed later is told the truth by any member that has applied the removal, so one is enough.
 */
import { type ConfState, isMember } from '@fleetmq/raft';
import type { Logger, LogIndex, Timer, Timers } from '@fleetmq/shared';
import { isRetired, type Membership } from '../domain/membership.ts';
import type { PeerAddress } from '../domain/peers.ts';

export type NodeState = 'member' | 'joining' | 'removed';

/** What another controller knows of the quorum. */
export interface QuorumNews {
  readonly appliedIndex: number;
  readonly memberIds: readonly number[];
}

export interface StandingOptions {
  readonly controllerId: number;
  readonly diskId: string;
  readonly confState: () => ConfState;
  readonly membership: () => Membership;
  readonly appliedIndex: () => LogIndex;
  readonly addresses: () => readonly PeerAddress[];
  /** Asks a member; it may fail. */
  readonly ask: (address: PeerAddress, signal: AbortSignal) => Promise<QuorumNews>;
  /** Since anybody's message came, in ms. */
  readonly silenceMs: () => number;
  /** Called once, when this node has found out. */
  readonly onRemoved: () => void;
  readonly timers: Timers;
  readonly logger: Logger;
  /** A learner asks after this much silence, and as often. Default: three election timeouts. */
  readonly askAfterMs: number;
}

export class Standing implements AsyncDisposable {
  readonly #options: StandingOptions;
  readonly #ticker: Timer;
  readonly #stopping = new AbortController();
  #asking: Promise<void> | undefined;
  #isRemoved = false;

  constructor(options: StandingOptions) {
    this.#options = options;
    this.#ticker = options.timers.every(options.askAfterMs, () => this.#maybeAsk());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ticker.cancel();
    this.#stopping.abort();
    await this.#asking;
  }

  get state(): NodeState {
    if (this.#isRemoved) return 'removed';
    return isMember(this.#options.confState(), this.#options.controllerId) ? 'member' : 'joining';
  }

  /** To be called at the start and after each change of the quorum: has this node applied its own removal? */
  check(): void {
    const { controllerId, diskId, confState, membership } = this.#options;
    const isOut = confState().voters.length > 0 && !isMember(confState(), controllerId);
    if (isOut || isRetired(membership(), controllerId, diskId)) this.removed('it has applied its removal');
  }

  /** Somebody who must know says so. */
  removed(why: string): void {
    if (this.#isRemoved) return;
    this.#isRemoved = true;
    this.#ticker.cancel();
    this.#options.logger.warn({ why }, 'this controller was removed from the quorum and stays quiet from here on');
    this.#options.onRemoved();
  }

  /** Voters learn it from those whom they ask for votes. */
  #maybeAsk(): void {
    const { controllerId, confState, silenceMs, askAfterMs } = this.#options;
    const isLearner = confState().learners.includes(controllerId);
    if (!isLearner || this.#isRemoved || this.#asking !== undefined || silenceMs() < askAfterMs) return;
    this.#asking = this.#ask().finally(() => {
      this.#asking = undefined;
    });
  }

  async #ask(): Promise<void> {
    const { controllerId, addresses, appliedIndex, ask, logger } = this.#options;
    for (const address of addresses()) {
      if (address.controllerId === controllerId || this.#stopping.signal.aborted) continue;
      try {
        const { appliedIndex: theirs, memberIds } = await ask(address, this.#stopping.signal);
        // One that counts this node may have been removed before it, and not know more: the others are asked, too.
        if (theirs < appliedIndex() || memberIds.length === 0 || memberIds.includes(controllerId)) continue;
        this.removed(`controller ${address.controllerId} says so`);
        return;
      } catch (error) {
        logger.debug({ error, controller: address.controllerId }, 'a member does not answer');
      }
    }
  }
}
