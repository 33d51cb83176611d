/**
 * The cluster's id: random, chosen by the first leader that finds none, agreed on in the log, and then written into this
 * node's data folder, so that the folder can never serve another cluster. Until the log has it nothing may register.
 */
import { supportedFeatures } from '@fleetmq/metadata';
import { DomainError, isDomainError, type Logger, type Random } from '@fleetmq/shared';
import type { LeadershipState } from './leadership.ts';
import type { Proposals } from './propose.ts';
import { randomId } from './random-id.ts';

export interface ClusterNameOptions {
  /** Empty while the log has none. */
  readonly clusterId: () => string;
  /** What the data folder belongs to; undefined while it is new. */
  readonly boundTo: () => string | undefined;
  readonly bind: (clusterId: string) => Promise<void>;
  readonly proposals: Pick<Proposals, 'propose'>;
  readonly leadership: LeadershipState;
  readonly random: Random;
  readonly logger: Logger;
  /** The log and the folder are of different clusters, or the folder cannot be written. */
  readonly onFatal: (error: unknown) => void;
}

export class ClusterName {
  readonly #options: ClusterNameOptions;
  #isNaming = false;
  #binding: Promise<void> | undefined;

  constructor(options: ClusterNameOptions) {
    this.#options = options;
    options.leadership.addListener(() => this.#nameIfNobodyDid());
  }

  /** What this node knows: the log's, else the folder's, else empty. */
  get known(): string {
    return this.#options.clusterId() || (this.#options.boundTo() ?? '');
  }

  /** The id, for a caller that believes to belong to `claimed` (empty: to none yet). NOT_AVAILABLE, WRONG_CLUSTER. */
  require(claimed: string): string {
    this.#options.leadership.requireReady();
    const clusterId = this.#options.clusterId();
    if (clusterId === '') {
      // This leader's first try may have failed, on a full disk.
      this.#nameIfNobodyDid();
      throw new DomainError('NOT_AVAILABLE', 'the cluster has no id yet: a quorum is being formed', {
        retryAfterMs: 100,
      });
    }
    if (claimed !== '' && claimed !== clusterId) {
      throw new DomainError('WRONG_CLUSTER', `this is cluster ${clusterId}, not ${claimed}`);
    }
    return clusterId;
  }

  /** To be called at the start, and when the metadata's cluster values have changed. */
  check(): void {
    const clusterId = this.#options.clusterId();
    if (clusterId === '' || clusterId === this.#options.boundTo() || this.#binding !== undefined) return;
    this.#binding = this.#options.bind(clusterId).catch(this.#options.onFatal);
  }

  /** Waits for a write of the folder that is under way. */
  async settled(): Promise<void> {
    await this.#binding;
  }

  #nameIfNobodyDid(): void {
    const { leadership, clusterId } = this.#options;
    if (leadership.isReady && clusterId() === '' && !this.#isNaming) void this.#name();
  }

  async #name(): Promise<void> {
    this.#isNaming = true;
    try {
      const clusterId = this.#options.boundTo() ?? randomId(this.#options.random);
      await this.#options.proposals.propose({ kind: 'set-cluster-id', clusterId, features: supportedFeatures });
      this.#options.logger.info({ clusterId }, 'the cluster has got its id');
    } catch (error) {
      if (!isDomainError(error)) throw error;
      // Another leader was faster, this one leads no more, or it will be asked again.
      this.#options.logger.info({ error }, 'the cluster was not named by this node');
    } finally {
      this.#isNaming = false;
    }
  }
}
