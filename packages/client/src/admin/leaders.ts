/** Who leads partitions: handed over to their preferred replicas, or to others that are in sync. */
import { AdminService, type ElectedLeader } from '@fleetmq/gen/controller/admin';
import type { CallBounds } from '../metadata.ts';
import type { PartitionRef } from '../offsets.ts';
import { checkBody } from '../rpc/errors.ts';
import type { AdminCalls } from './calls.ts';

export interface WantedLeader extends PartitionRef {
  /** In sync and in service. Default: the preferred leader, which is the first of the partition's replicas. */
  readonly leaderId?: number;
}

export class Leaders {
  readonly #calls: AdminCalls;

  constructor(calls: AdminCalls) {
    this.#calls = calls;
  }

  /**
   * One result for each partition, in the order of the request: each is handed over, or not, on its own. An empty request stands
   * for every partition whose preferred leader could lead and does not. Repeating it does no harm.
   */
  async elect(wanted: readonly WantedLeader[], options: CallBounds = {}): Promise<readonly ElectedLeader[]> {
    const request = {
      clientId: this.#calls.clientId,
      choices: wanted.map(({ topic, partition, leaderId = 0 }) => ({
        topicPartition: { topic, partition },
        targetId: leaderId,
      })),
    };
    const response = await this.#calls.read(options, async (channel, call) =>
      checkBody(await channel.unary(AdminService.method.electLeaders, request, call), 'elect leaders'),
    );
    this.#calls.noteVersion(response.metadataVersion);
    return response.results;
  }
}
