/**
 * Leaderships that are handed over: as an operator wishes, and, where that is switched on, again and again so that the
 * preferred replicas lead (KIP-460). Each partition is a command of its own, and succeeds or fails alone; a bounded number of
 * them is under way. `domain/balance.ts` says which are due.
 */
import type { MetadataImage } from '@fleetmq/metadata';
import { type BrokerId, DomainError, isDomainError, type Logger, type Timers } from '@fleetmq/shared';
import { requirePartition } from '../domain/apply-partitions.ts';
import { balancingElections, type ElectedLeader, type LeaderChoice, preferredElections } from '../domain/balance.ts';
import type { ElectLeader } from '../domain/commands.ts';
import { requireTopicByName } from '../domain/plan.ts';
import type { LeaderView } from './leader-view.ts';
import type { LeadershipState } from './leadership.ts';
import type { Proposals } from './propose.ts';

/** Partitions of one call. */
const choicesMax = 10_000;
/** Commands under way. */
const proposalsMax = 64;

export interface LeaderAdminOptions {
  readonly leader: LeaderView;
  readonly leadership: LeadershipState;
  readonly proposals: Pick<Proposals, 'propose'>;
  readonly timers: Timers;
  readonly logger: Logger;
  /** Between two balances. 0: never. Default 5 minutes. */
  readonly balanceIntervalMs: number;
  /** A broker may miss so many percent of the leaderships that are its own. Default 10. */
  readonly imbalancePercentMax: number;
}

export class LeaderAdmin implements Disposable {
  readonly #options: LeaderAdminOptions;
  readonly #stop: () => void;
  #isBalancing = false;

  constructor(options: LeaderAdminOptions) {
    this.#options = options;
    const { balanceIntervalMs, timers } = options;
    const timer = balanceIntervalMs > 0 ? timers.every(balanceIntervalMs, () => void this.#balance()) : undefined;
    this.#stop = () => timer?.cancel();
  }

  [Symbol.dispose](): void {
    this.#stop();
  }

  /** In the order of the choices; without any, all that are due. INVALID_REQUEST for too many. */
  async elect(choices: readonly LeaderChoice[], signal: AbortSignal): Promise<readonly ElectedLeader[]> {
    if (choices.length > choicesMax) {
      throw new DomainError('INVALID_REQUEST', `${choices.length} partitions: there may be ${choicesMax} at once`);
    }
    const image = await this.#options.leader.confirmed(signal);
    const wanted = choices.length > 0 ? choices : preferredElections(image).slice(0, choicesMax).map(choiceOf(image));
    return await inTurns(wanted, (choice) => this.#electOne(choice, signal));
  }

  async #electOne({ topicPartition, targetId }: LeaderChoice, signal: AbortSignal): Promise<ElectedLeader> {
    const { leader, proposals } = this.#options;
    let oldLeaderId = 0 as BrokerId;
    try {
      const { topicId } = requireTopicByName(leader.image, topicPartition.topic);
      const { partition: before } = requirePartition(leader.image, topicId, topicPartition.partition);
      oldLeaderId = before.leaderId;
      const { partition, leaderEpoch } = before;
      const command: ElectLeader = { kind: 'elect-leader', topicId, partition, targetId, leaderEpoch };
      const { leaderId } = await proposals.propose(command, signal);
      return { topicPartition, oldLeaderId, leaderId };
    } catch (error) {
      if (!isDomainError(error)) throw error;
      return { topicPartition, oldLeaderId, leaderId: oldLeaderId, error };
    }
  }

  async #balance(): Promise<void> {
    const { leader, leadership, proposals, logger, imbalancePercentMax } = this.#options;
    if (this.#isBalancing || !leadership.isReady) return;
    this.#isBalancing = true;
    try {
      const due = balancingElections(leader.image, imbalancePercentMax);
      const done = await inTurns(due, (command) =>
        proposals.propose(command).then(
          () => 1,
          (error: unknown) => {
            if (!isDomainError(error)) throw error;
            return 0;
          },
        ),
      );
      const count = done.reduce<number>((sum, each) => sum + each, 0);
      if (due.length > 0) logger.info({ due: due.length, done: count }, 'preferred replicas lead again');
    } finally {
      this.#isBalancing = false;
    }
  }
}

function choiceOf(image: MetadataImage): (command: ElectLeader) => LeaderChoice {
  return ({ topicId, partition, targetId }) => {
    const topic = image.topicById(topicId)?.name ?? '';
    return { topicPartition: { topic, partition }, targetId };
  };
}

/** Results in the order of the items. */
async function inTurns<Item, Result>(
  items: readonly Item[],
  run: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (let from = 0; from < items.length; from += proposalsMax) {
    results.push(...(await Promise.all(items.slice(from, from + proposalsMax).map(run))));
  }
  return results;
}
