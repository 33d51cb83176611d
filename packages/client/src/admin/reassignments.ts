/** Moves of replicas to other brokers: started, listed with how far they have come, cancelled. */
import type { MessageShape } from '@bufbuild/protobuf';
import {
  AdminService,
  type CancelReassignmentResponseSchema,
  type ListReassignmentsResponseSchema,
} from '@fleetmq/gen/controller/admin';
import type { PlannedMove } from '@fleetmq/gen/controller/cluster';
import type { CallBounds } from '../metadata.ts';
import type { PartitionRef } from '../offsets.ts';
import { checkBody } from '../rpc/errors.ts';
import type { AdminCalls } from './calls.ts';

export interface WantedReplicas extends PartitionRef {
  /** The first is the preferred leader. Default: chosen so that brokers and racks are loaded alike and little moves. */
  readonly replicas?: readonly number[];
  /** Without `replicas`: how many there shall be. Default: as many as now. */
  readonly replicationFactor?: number;
}

export interface StartReassignmentOptions extends CallBounds {
  /** Only say what would be done. */
  readonly validateOnly?: boolean;
  /** What each broker sends a second to the new replicas at most. Default: as much as it can. */
  readonly bytesPerSecondMax?: number;
}

export interface StartedReassignment {
  /** Empty: nothing has to move, or only the plan was asked for. */
  readonly id: string;
  readonly moves: readonly PlannedMove[];
}

export type ReassignmentList = MessageShape<typeof ListReassignmentsResponseSchema>;
export type CancelledReassignment = MessageShape<typeof CancelReassignmentResponseSchema>;

export class Reassignments {
  readonly #calls: AdminCalls;

  constructor(calls: AdminCalls) {
    this.#calls = calls;
  }

  /**
   * Answers once it is decided; all partitions begin to move, or none. When the answer of a first attempt was lost, the second
   * one gets REASSIGNMENT_IN_PROGRESS: `list` has what runs. BROKER_NOT_FOUND, INVALID_REPLICATION_FACTOR, TOPIC_NOT_FOUND.
   */
  async start(
    partitions: readonly WantedReplicas[],
    options: StartReassignmentOptions = {},
  ): Promise<StartedReassignment> {
    const request = {
      clientId: this.#calls.clientId,
      validateOnly: options.validateOnly ?? false,
      bytesPerSecondMax: BigInt(options.bytesPerSecondMax ?? 0),
      partitions: partitions.map(({ topic, partition, replicas = [], replicationFactor = 0 }) => ({
        topicPartition: { topic, partition },
        replicas: [...replicas],
        replicationFactor,
      })),
    };
    const response = await this.#calls.read(options, async (channel, call) =>
      checkBody(await channel.unary(AdminService.method.startReassignment, request, call), 'start a reassignment'),
    );
    this.#calls.noteVersion(response.metadataVersion);
    return { id: response.reassignmentId, moves: response.moves };
  }

  /** What moves now, and how far each reassignment has come; linearizable. */
  list(options: CallBounds = {}): Promise<ReassignmentList> {
    const request = { clientId: this.#calls.clientId };
    return this.#calls.read(options, async (channel, call) =>
      checkBody(await channel.unary(AdminService.method.listReassignments, request, call), 'list reassignments'),
    );
  }

  /** What has not moved yet goes back. Repeating it does no harm. REASSIGNMENT_NOT_FOUND. */
  async cancel(id: string, options: CallBounds = {}): Promise<CancelledReassignment> {
    const request = { clientId: this.#calls.clientId, reassignmentId: id };
    const response = await this.#calls.read(options, async (channel, call) =>
      checkBody(await channel.unary(AdminService.method.cancelReassignment, request, call), `cancel ${id}`),
    );
    this.#calls.noteVersion(response.metadataVersion);
    return response;
  }
}
