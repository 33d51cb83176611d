/**
 * Levels of features as calls: what is in use, what every node knows, and bringing higher levels into use. Brokers say what
 * they know when they register; controllers are asked, since the log does not hold it. Between the question and the command a
 * controller may only come (and is asked then, see `member-changes.ts`), not lose what it knows but by a downgrade of its
 * software, which then refuses to run on (`state-machine.ts`).
 */
import { type FeatureLevels, type MetadataImage, supportedFeatures } from '@fleetmq/metadata';
import type { Logger, LogIndex } from '@fleetmq/shared';
import { previewCommand } from '../domain/apply.ts';
import { type FeatureReport, type NodeFeatures, planFeatures, reportFeatures } from '../domain/feature-levels.ts';
import type { PeerAddress } from '../domain/peers.ts';
import type { CallOptions } from './leader-view.ts';
import type { LeadershipState } from './leadership.ts';
import type { LinearReads } from './linear-reads.ts';
import type { Proposals } from './propose.ts';

export interface FeatureAdminOptions {
  readonly controllerId: number;
  readonly image: () => MetadataImage;
  readonly appliedIndex: () => LogIndex;
  /** All members of the quorum. */
  readonly members: () => readonly PeerAddress[];
  /** Asks the controller at an address; it may fail. */
  readonly ask: (address: PeerAddress, signal: AbortSignal) => Promise<{ readonly features: FeatureLevels }>;
  readonly leadership: LeadershipState;
  readonly proposals: Proposals;
  readonly reads: LinearReads;
  readonly logger: Logger;
}

export class FeatureAdmin {
  readonly #options: FeatureAdminOptions;

  constructor(options: FeatureAdminOptions) {
    this.#options = options;
  }

  /** Confirmed by a quorum; every controller is asked. */
  async list(signal: AbortSignal): Promise<readonly FeatureReport[]> {
    await this.#options.reads.read(signal);
    return await this.#report(signal);
  }

  /** `levels` empty: the highest that every node knows. The features after the change, or as they are with `validateOnly`. */
  async update(levels: FeatureLevels, { signal, validateOnly }: CallOptions): Promise<readonly FeatureReport[]> {
    const { leadership, proposals, image, appliedIndex, logger } = this.#options;
    leadership.requireReady();
    const command = planFeatures(await this.#report(signal), levels);
    if (validateOnly) {
      previewCommand(image(), command, (appliedIndex() + 1) as LogIndex);
    } else {
      await proposals.propose(command, signal);
      logger.info({ audit: true, levels: Object.fromEntries(command.levels) }, 'levels of features came into use');
    }
    return await this.#report(signal);
  }

  async #report(signal: AbortSignal): Promise<readonly FeatureReport[]> {
    const { image, members, controllerId } = this.#options;
    const others = members().filter((each) => each.controllerId !== controllerId);
    const controllers = await Promise.all(others.map((address) => this.#featuresAt(address, signal)));
    const own = { node: `controller ${controllerId}`, features: supportedFeatures };
    const brokers = image()
      .brokers()
      .map(({ brokerId, features }): NodeFeatures => ({ node: `broker ${brokerId}`, features }));
    return reportFeatures(image().cluster.features, [own, ...controllers, ...brokers]);
  }

  async #featuresAt(address: PeerAddress, signal: AbortSignal): Promise<NodeFeatures> {
    const node = `controller ${address.controllerId}`;
    try {
      return { node, features: (await this.#options.ask(address, signal)).features };
    } catch (error) {
      signal.throwIfAborted();
      this.#options.logger.debug({ error, node }, 'a controller does not say what it knows');
      return { node, features: undefined };
    }
  }
}
