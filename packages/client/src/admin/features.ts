/** Levels of the cluster's formats and behaviours: what is in use, and what every node knows. */
import { AdminService, type FeatureLevel } from '@fleetmq/gen/controller/admin';
import type { CallBounds } from '../metadata.ts';
import { checkBody } from '../rpc/errors.ts';
import type { AdminCalls } from './calls.ts';

export interface UpdateFeaturesOptions extends CallBounds {
  /** New levels by name. Default: of each feature the highest that every node knows. */
  readonly levels?: Readonly<Record<string, number>>;
  /** Only check. */
  readonly validateOnly?: boolean;
}

export class Features {
  readonly #calls: AdminCalls;

  constructor(calls: AdminCalls) {
    this.#calls = calls;
  }

  /** Linearizable; every node is asked. */
  async list(options: CallBounds = {}): Promise<readonly FeatureLevel[]> {
    const request = { clientId: this.#calls.clientId };
    const response = await this.#calls.read(options, async (channel, call) =>
      checkBody(await channel.unary(AdminService.method.listFeatures, request, call), 'list features'),
    );
    return response.features;
  }

  /** There is no way back. UNSUPPORTED_VERSION, NOT_AVAILABLE with the nodes that stand in the way, INVALID_REQUEST. */
  async update({
    levels = {},
    validateOnly = false,
    ...bounds
  }: UpdateFeaturesOptions = {}): Promise<readonly FeatureLevel[]> {
    const request = { clientId: this.#calls.clientId, levels: { ...levels }, validateOnly };
    const response = await this.#calls.read(bounds, async (channel, call) =>
      checkBody(await channel.unary(AdminService.method.updateFeatures, request, call), 'update features'),
    );
    this.#calls.noteVersion(response.metadataVersion);
    return response.features;
  }
}
