/**
 * Moves of replicas as calls: planned on the leader, carried out as commands, watched by whoever asked. What moves is in the
 * metadata, so a watch may end and another one, on the next leader too, goes on where it was.
 */
import { type MetadataEvent, type MetadataImage, type ReassignmentImage, requireLevel } from '@fleetmq/metadata';
import { type BrokerId, DomainError, type LogIndex, type Random } from '@fleetmq/shared';
import { previewCommand } from '../domain/apply.ts';
import { requireReassignment } from '../domain/apply-reassignments.ts';
import type { CancelledMoves, StartReassignment } from '../domain/commands.ts';
import {
  type PlannedMove,
  planEmptying,
  planReassignment,
  type ReassignmentWish,
} from '../domain/plan-reassignment.ts';
import type { CallOptions, LeaderView } from './leader-view.ts';
import type { LeadershipState } from './leadership.ts';
import type { Proposals } from './propose.ts';
import { randomId } from './random-id.ts';

export interface ReassignmentAdminOptions {
  readonly leader: LeaderView;
  readonly appliedIndex: () => LogIndex;
  readonly leadership: LeadershipState;
  readonly proposals: Proposals;
  readonly random: Random;
}

/** `reassignmentId` empty: nothing was to be moved, or only the plan was asked for. */
export interface StartedReassignment {
  readonly reassignmentId: string;
  readonly moves: readonly PlannedMove[];
}

/** Watches that may be open at once. */
const watchersMax = 200;

export class ReassignmentAdmin {
  readonly #options: ReassignmentAdminOptions;
  readonly #wakers = new Set<() => void>();
  #watchers = 0;

  constructor(options: ReassignmentAdminOptions) {
    this.#options = options;
    options.leadership.addListener(() => this.#wake());
  }

  /** The state machine has applied these. */
  onEvents(events: readonly MetadataEvent[]): void {
    if (events.some(({ kind }) => kind === 'reassignment-changed')) this.#wake();
  }

  /** Another image took the place of the one before. */
  onRestore(): void {
    this.#wake();
  }

  async start(wishes: readonly ReassignmentWish[], call: CallOptions): Promise<StartedReassignment> {
    return await this.#carryOut(await this.#plan(call, (image) => planReassignment(image, wishes)), call);
  }

  /** Moves every replica away from the broker. */
  async empty(brokerId: BrokerId, signal: AbortSignal): Promise<StartedReassignment> {
    const call = { signal, validateOnly: false };
    return await this.#carryOut(await this.#plan(call, (image) => planEmptying(image, brokerId)), call);
  }

  /** What could not go back goes on. REASSIGNMENT_NOT_FOUND. */
  async cancel(reassignmentId: string, signal: AbortSignal): Promise<CancelledMoves> {
    const { leader, proposals } = this.#options;
    await leader.plan({ signal, validateOnly: false }, (image) => requireReassignment(image, reassignmentId));
    return await proposals.propose({ kind: 'cancel-reassignment', reassignmentId }, signal);
  }

  /**
   * The reassignment now, and again whenever it has changed, until it has ended. REASSIGNMENT_NOT_FOUND; NOT_LEADER when
   * this controller leads no more: the caller goes on at another one. LIMIT_EXCEEDED.
   */
  async *watch(reassignmentId: string, signal: AbortSignal): AsyncGenerator<ReassignmentImage> {
    if (this.#watchers >= watchersMax) throw new DomainError('LIMIT_EXCEEDED', `${watchersMax} watches are open`);
    this.#watchers++;
    try {
      yield* this.#follow(reassignmentId, signal);
    } finally {
      this.#watchers--;
    }
  }

  async *#follow(reassignmentId: string, signal: AbortSignal): AsyncGenerator<ReassignmentImage> {
    const { leader, leadership } = this.#options;
    let told: ReassignmentImage | undefined;
    for (;;) {
      leadership.requireReady();
      const call = { signal, validateOnly: false };
      const now = await leader.plan(call, (image) => requireReassignment(image, reassignmentId));
      if (now !== told) {
        told = now;
        yield now;
        if (now.endedAtMs > 0) return;
        continue;
      }
      await this.#change(signal);
    }
  }

  #plan(call: CallOptions, plan: (image: MetadataImage) => readonly PlannedMove[]): Promise<readonly PlannedMove[]> {
    return this.#options.leader.plan(call, (image) => {
      requireLevel(image.cluster.features, { name: 'metadata.version', level: 2, what: 'moving replicas' });
      return plan(image);
    });
  }

  async #carryOut(moves: readonly PlannedMove[], call: CallOptions): Promise<StartedReassignment> {
    if (moves.length === 0) return { reassignmentId: '', moves };
    const reassignmentId = randomId(this.#options.random);
    const command: StartReassignment = { kind: 'start-reassignment', reassignmentId, moves };
    if (call.validateOnly) {
      previewCommand(this.#options.leader.image, command, (this.#options.appliedIndex() + 1) as LogIndex);
      return { reassignmentId: '', moves };
    }
    await this.#options.proposals.propose(command, call.signal);
    return { reassignmentId, moves };
  }

  #change(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const end = (): void => {
        this.#wakers.delete(onWake);
        signal.removeEventListener('abort', onAbort);
      };
      const onWake = (): void => {
        end();
        resolve();
      };
      const onAbort = (): void => {
        end();
        reject(new DomainError('CANCELLED', 'the caller gave up'));
      };
      this.#wakers.add(onWake);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  #wake(): void {
    for (const wake of [...this.#wakers]) wake();
  }
}
