/**
 * The metadata as the leader knows them, for whoever plans or refuses by them. A leader that was deposed may not know it yet:
 * what it would refuse is looked at again on metadata that a quorum has confirmed (ReadIndex), so that nobody is told that
 * a topic exists which the leader's successor has deleted. What it accepts needs no confirmation: the log decides.
 */
import type { MetadataImage } from '@fleetmq/metadata';
import { isDomainError } from '@fleetmq/shared';
import type { LeadershipState } from './leadership.ts';
import type { LinearReads } from './linear-reads.ts';

export interface LeaderViewOptions {
  readonly image: () => MetadataImage;
  readonly leadership: LeadershipState;
  readonly reads: Pick<LinearReads, 'read'>;
}

export interface CallOptions {
  readonly signal: AbortSignal;
  /** Only say what would be done. */
  readonly validateOnly: boolean;
}

export class LeaderView {
  readonly #options: LeaderViewOptions;

  constructor(options: LeaderViewOptions) {
    this.#options = options;
  }

  get image(): MetadataImage {
    return this.#options.image();
  }

  /** The metadata, confirmed by a quorum. */
  async confirmed(signal: AbortSignal): Promise<MetadataImage> {
    await this.#options.reads.read(signal);
    return this.image;
  }

  /** What `plan` makes of the metadata here, or throws on confirmed ones. `validateOnly`: only these count. NOT_LEADER. */
  async plan<Plan>({ validateOnly, signal }: CallOptions, plan: (image: MetadataImage) => Plan): Promise<Plan> {
    if (!validateOnly) {
      this.#options.leadership.requireReady();
      try {
        return plan(this.image);
      } catch (error) {
        if (!isDomainError(error)) throw error;
      }
    }
    return plan(await this.confirmed(signal));
  }
}
