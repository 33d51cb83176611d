/**
 * Moves of replicas as calls: planned on the leader, carried out as commands, watched by whoever asked. What moves is in the
 * metadata, so a watch may end and another one, on the next leader too, goes on where it was.
 */
import {
  equalValues,
  type MetadataEvent,
  type MetadataImage,
  type ReassignmentImage,
  requireLevel,
} from '@fleetmq/metadata';
import { type BrokerId, DomainError, type LogIndex, type Random } from '@fleetmq/shared';
import { previewCommand } from '../domain/apply.ts';
import { requireReassignment } from '../domain/apply-reassignments.ts';
import type { BrokerLife, CancelledMoves, StartReassignment } from '../domain/commands.ts';
import { type CopiedBytes, CopyProgress, type MovingPartition } from '../domain/copy-progress.ts';
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

/** With the bytes that were copied so far. */
export interface WatchedReassignment extends CopiedBytes {
  readonly reassignment: ReassignmentImage;
}

export interface MoveOptions extends CallOptions, Pick<StartReassignment, 'bytesPerSecondMax'> {}

/** Watches that may be open at once. */
const watchersMax = 200;

export class ReassignmentAdmin {
  readonly #options: ReassignmentAdminOptions;
  readonly #copied = new CopyProgress();
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

  async start(wishes: readonly ReassignmentWish[], call: MoveOptions): Promise<StartedReassignment> {
    return await this.#carryOut(await this.#plan(call, (image) => planReassignment(image, wishes)), call);
  }

  /** Moves every replica away from the broker. */
  async empty(brokerId: BrokerId, options: Omit<MoveOptions, 'validateOnly'>): Promise<StartedReassignment> {
    const call = { ...options, validateOnly: false };
    return await this.#carryOut(await this.#plan(call, (image) => planEmptying(image, brokerId)), call);
  }

  /** A broker tells how far the partitions have come that it leads. */
  onMoving(life: BrokerLife, moving: readonly MovingPartition[]): void {
    if (this.#copied.note(this.#options.leader.image, life, moving)) this.#wake();
  }

  /** As far as this controller has heard of it. */
  copiedBytes(reassignmentId: string): CopiedBytes {
    return this.#copied.of(this.#options.leader.image, reassignmentId);
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
  async *watch(reassignmentId: string, signal: AbortSignal): AsyncGenerator<WatchedReassignment> {
    if (this.#watchers >= watchersMax) throw new DomainError('LIMIT_EXCEEDED', `${watchersMax} watches are open`);
    this.#watchers++;
    try {
      yield* this.#follow(reassignmentId, signal);
    } finally {
      this.#watchers--;
    }
  }

  async *#follow(reassignmentId: string, signal: AbortSignal): AsyncGenerator<WatchedReassignment> {
    const { leader, leadership } = this.#options;
    let told: WatchedReassignment | undefined;
    for (;;) {
      leadership.requireReady();
      const call = { signal, validateOnly: false };
      const reassignment = await leader.plan(call, (image) => requireReassignment(image, reassignmentId));
      const now = { reassignment, ...this.copiedBytes(reassignmentId) };
      if (!equalValues(now, told)) {
        told = now;
        yield now;
        if (reassignment.endedAtMs > 0) return;
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

  async #carryOut(moves: readonly PlannedMove[], call: MoveOptions): Promise<StartedReassignment> {
    if (moves.length === 0) return { reassignmentId: '', moves };
    const reassignmentId = randomId(this.#options.random);
    const { bytesPerSecondMax } = call;
    const throttle = bytesPerSecondMax === undefined ? {} : { bytesPerSecondMax };
    const command: StartReassignment = { kind: 'start-reassignment', reassignmentId, moves, ...throttle };
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
