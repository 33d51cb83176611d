/**
 * Administration: topics, brokers, offsets. Admin calls go to a gateway, which passes them on to the controllers' leader;
 * a client that was connected to brokers alone gets UNIMPLEMENTED for those, and everything else here works.
 * `admin/calls.ts` says what is repeated.
 */
import type { MessageShape } from '@bufbuild/protobuf';
import {
  type GetClusterMetadataResponseSchema,
  MetadataService,
  type TopicSummary,
} from '@fleetmq/gen/client/metadata';
import type { BrokerMetadata, ConfigEntry, TopicMetadata } from '@fleetmq/gen/common/metadata';
import {
  AdminService,
  type ControllerStatus,
  type DescribeClusterResponseSchema,
  type FailedReplica,
} from '@fleetmq/gen/controller/admin';
import type { Offset } from '@fleetmq/shared';
import { AdminCalls, type AdminDeps } from './admin/calls.ts';
import { Features } from './admin/features.ts';
import { Leaders } from './admin/leaders.ts';
import { Reassignments } from './admin/reassignments.ts';
import type { CallBounds, Metadata } from './metadata.ts';
import { deleteRecordsBefore, findOffsets, type PartitionRef, type Position } from './offsets.ts';
import { checkBody } from './rpc/errors.ts';

export interface CreateTopicOptions extends CallBounds {
  /** Default 1, at most 100,000. */
  readonly partitions?: number;
  /** Default: the smaller of 3 and the number of live brokers. */
  readonly replicationFactor?: number;
  /** Settings, such as `retention.ms`, as text. */
  readonly config?: Readonly<Record<string, string>>;
  /** Brokers per partition, the first being the preferred leader. Default: placed over racks and brokers. */
  readonly assignments?: readonly (readonly number[])[];
  /** Only say what would be done. */
  readonly validateOnly?: boolean;
}

export interface TopicDescription {
  readonly topic: TopicMetadata;
  /** All settings with their source. */
  readonly config: readonly ConfigEntry[];
  /** Logs that are closed after an error or damaged, with what their brokers say of them. */
  readonly failedReplicas: readonly FailedReplica[];
}

/** Of an internal listener. */
export interface ControllerAddress {
  readonly host: string;
  readonly port: number;
}

export interface AddControllerOptions extends CallBounds {
  /** Must be that of the controller at the address. Default: whichever it is. */
  readonly id?: number;
  /** Its disk, if it need not run yet. Default: it is asked. */
  readonly diskId?: string;
  /** Default false. */
  readonly learnerOnly?: boolean;
}

export interface DrainOptions extends CallBounds {
  /** Also its replicas. Default false. */
  readonly moveReplicas?: boolean;
  /** It serves again. Default false. */
  readonly cancel?: boolean;
  /** With `moveReplicas`: what each broker sends a second at most. Default: as much as it can. */
  readonly bytesPerSecondMax?: number;
}

export interface DrainedBroker {
  /** Partitions that it still leads. */
  readonly remainingLeaders: number;
  /** What moves its replicas away. Empty: nothing does. */
  readonly reassignmentId: string;
}

export type ClusterDescription = MessageShape<typeof DescribeClusterResponseSchema>;
export type ClusterMetadata = MessageShape<typeof GetClusterMetadataResponseSchema>;

export interface ListTopicsOptions extends CallBounds {
  readonly prefix?: string;
  readonly includeInternal?: boolean;
}

export interface OffsetListing extends PartitionRef {
  readonly offset: Offset;
}

const pageSize = 1000;

export class Admin {
  readonly #metadata: Metadata;
  readonly #clientId: string;
  readonly #calls: AdminCalls;
  /** Moves of replicas to other brokers. */
  readonly reassignments: Reassignments;
  /** Who leads which partition. */
  readonly leaders: Leaders;
  /** Formats and behaviours of the whole cluster that have levels. */
  readonly features: Features;

  constructor(deps: AdminDeps) {
    this.#metadata = deps.metadata;
    this.#clientId = deps.clientId;
    this.#calls = new AdminCalls(deps);
    this.reassignments = new Reassignments(this.#calls);
    this.leaders = new Leaders(this.#calls);
    this.features = new Features(this.#calls);
  }

  /** TOPIC_ALREADY_EXISTS, INVALID_CONFIG, INVALID_REPLICATION_FACTOR. The topic can be used at once by this client. */
  async createTopic(name: string, options: CreateTopicOptions = {}): Promise<TopicMetadata> {
    const request = {
      clientId: this.#clientId,
      name,
      partitionCount: options.partitions ?? 0,
      replicationFactor: options.replicationFactor ?? 0,
      config: { ...options.config },
      validateOnly: options.validateOnly ?? false,
      assignments: (options.assignments ?? []).map((replicas) => ({ replicas: [...replicas] })),
    };
    const done = await this.#calls.change('TOPIC_ALREADY_EXISTS', options, async (channel, call) =>
      checkBody(await channel.unary(AdminService.method.createTopic, request, call), `create topic ${name}`),
    );
    if (done === undefined) return (await this.describeTopic(name, options)).topic;
    if (request.validateOnly !== true) await this.#settleTopic(name, done.metadataVersion, options);
    return done.topic as TopicMetadata;
  }

  /** TOPIC_NOT_FOUND. */
  async deleteTopic(name: string, options: CallBounds = {}): Promise<void> {
    const done = await this.#calls.change('TOPIC_NOT_FOUND', options, async (channel, call) =>
      checkBody(
        await channel.unary(AdminService.method.deleteTopic, { clientId: this.#clientId, name }, call),
        `delete topic ${name}`,
      ),
    );
    if (done !== undefined) this.#metadata.noteVersion(done.metadataVersion);
  }

  /** Linearizable. TOPIC_NOT_FOUND. */
  async describeTopic(name: string, options: CallBounds = {}): Promise<TopicDescription> {
    const response = await this.#calls.read(options, async (channel, call) =>
      checkBody(
        await channel.unary(AdminService.method.describeTopic, { clientId: this.#clientId, name }, call),
        `describe topic ${name}`,
      ),
    );
    const { topic, config, failedReplicas } = response;
    return { topic: topic as TopicMetadata, config, failedReplicas };
  }

  /** Sets and removes settings one by one; answers all of them. INVALID_CONFIG, TOPIC_NOT_FOUND. */
  async alterTopicConfig(
    name: string,
    changes: { readonly set?: Readonly<Record<string, string>>; readonly remove?: readonly string[] },
    options: CallBounds & { readonly validateOnly?: boolean } = {},
  ): Promise<readonly ConfigEntry[]> {
    const request = {
      clientId: this.#clientId,
      name,
      set: { ...changes.set },
      remove: [...(changes.remove ?? [])],
      validateOnly: options.validateOnly ?? false,
    };
    const response = await this.#calls.read(options, async (channel, call) =>
      checkBody(await channel.unary(AdminService.method.alterTopicConfig, request, call), `settings of topic ${name}`),
    );
    this.#metadata.noteVersion(response.metadataVersion);
    return response.config;
  }

  /** `total` is how many there shall be, not how many more. INVALID_REQUEST if that is not more than now. */
  async addPartitions(
    name: string,
    total: number,
    options: CallBounds & { readonly validateOnly?: boolean } = {},
  ): Promise<TopicMetadata> {
    const request = { clientId: this.#clientId, name, totalCount: total, validateOnly: options.validateOnly ?? false };
    const done = await this.#calls.change('INVALID_REQUEST', options, async (channel, call) =>
      checkBody(await channel.unary(AdminService.method.addPartitions, request, call), `add partitions to ${name}`),
    );
    if (done === undefined) return (await this.describeTopic(name, options)).topic;
    if (!request.validateOnly) await this.#settleTopic(name, done.metadataVersion, options);
    return done.topic as TopicMetadata;
  }

  /** Controllers, brokers, and what is wrong; linearizable. */
  describeCluster(options: CallBounds = {}): Promise<ClusterDescription> {
    return this.#calls.read(options, async (channel, call) =>
      checkBody(
        await channel.unary(AdminService.method.describeCluster, { clientId: this.#clientId }, call),
        'describe cluster',
      ),
    );
  }

  /** The controllers and how far each has come, by id; linearizable. */
  async listControllers(options: CallBounds = {}): Promise<readonly ControllerStatus[]> {
    const request = { clientId: this.#clientId };
    const response = await this.#calls.read(options, async (channel, call) =>
      checkBody(await channel.unary(AdminService.method.listControllers, request, call), 'list controllers'),
    );
    return response.controllers;
  }

  /**
   * Adds the controller that runs at an address, and answers its id. It is a learner at first, and is promoted to voter
   * once it has caught up, unless `learnerOnly`. Repeating the call does no harm. INVALID_REQUEST.
   */
  async addController(address: ControllerAddress, options: AddControllerOptions = {}): Promise<number> {
    const { id = 0, diskId = '', learnerOnly = false } = options;
    const request = { clientId: this.#clientId, controllerId: id, ...address, diskId, learnerOnly };
    const place = `${address.host}:${address.port}`;
    const response = await this.#calls.read(options, async (channel, call) =>
      checkBody(await channel.unary(AdminService.method.addController, request, call), `add controller ${place}`),
    );
    return response.controllerId;
  }

  /**
   * Puts the controller that runs at an address in the place of a voter, in one step once it has caught up, and answers its
   * id. Repeating the call does no harm. INVALID_REQUEST.
   */
  async replaceController(
    replacedId: number,
    address: ControllerAddress,
    options: Omit<AddControllerOptions, 'learnerOnly'> = {},
  ): Promise<number> {
    const { id = 0, diskId = '' } = options;
    const request = { clientId: this.#clientId, replacedId, controllerId: id, ...address, diskId };
    const response = await this.#calls.read(options, async (channel, call) =>
      checkBody(
        await channel.unary(AdminService.method.replaceController, request, call),
        `replace controller ${replacedId}`,
      ),
    );
    return response.controllerId;
  }

  /** INVALID_REQUEST (no member, or the only voter), NOT_ENOUGH_REPLICAS (the rest would have no active majority). */
  async removeController(id: number, options: CallBounds & { readonly force?: boolean } = {}): Promise<void> {
    const request = { clientId: this.#clientId, controllerId: id, force: options.force ?? false };
    await this.#calls.change('INVALID_REQUEST', options, async (channel, call) =>
      checkBody(await channel.unary(AdminService.method.removeController, request, call), `remove controller ${id}`),
    );
  }

  /** `target` 0: the most advanced voter. Answers who leads then. */
  async transferController(target = 0, options: CallBounds = {}): Promise<number> {
    const request = { clientId: this.#clientId, targetId: target };
    const response = await this.#calls.read(options, async (channel, call) =>
      checkBody(await channel.unary(AdminService.method.transferController, request, call), 'transfer controllers'),
    );
    return response.leaderId;
  }

  /**
   * Hands the leaderships of a broker over, and keeps it from leading until that is cancelled; with `moveReplicas` its replicas
   * move away, too. Repeating it hands over what can be by then. INVALID_REPLICATION_FACTOR when the other brokers have no room.
   */
  async drainBroker(id: number, options: DrainOptions = {}): Promise<DrainedBroker> {
    const { moveReplicas = false, cancel = false } = options;
    const bytesPerSecondMax = BigInt(options.bytesPerSecondMax ?? 0);
    const request = { clientId: this.#clientId, brokerId: id, moveReplicas, cancel, bytesPerSecondMax };
    const response = await this.#calls.read(options, async (channel, call) =>
      checkBody(await channel.unary(AdminService.method.drainBroker, request, call), `drain broker ${id}`),
    );
    return { remainingLeaders: response.remainingLeaders, reassignmentId: response.reassignmentId };
  }

  /** The cluster as the server that answers knows it: id, nodes, security mode, versions. */
  clusterMetadata(options: CallBounds = {}): Promise<ClusterMetadata> {
    return this.#metadata.call(this.#calls.bounds(options), async (channel, call) =>
      checkBody(
        await channel.unary(MetadataService.method.getClusterMetadata, { clientId: this.#clientId }, call),
        'cluster metadata',
      ),
    );
  }

  /** All topics by name, over as many pages as it takes. */
  async listTopics(options: ListTopicsOptions = {}): Promise<readonly TopicSummary[]> {
    const topics: TopicSummary[] = [];
    let pageToken = '';
    do {
      const request = {
        clientId: this.#clientId,
        prefix: options.prefix ?? '',
        includeInternal: options.includeInternal ?? false,
        pageSize,
        pageToken,
      };
      const page = await this.#metadata.call(this.#calls.bounds(options), async (channel, call) =>
        checkBody(await channel.unary(MetadataService.method.listTopics, request, call), 'list topics'),
      );
      topics.push(...page.topics);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    return topics;
  }

  /** Every registered broker, fenced ones too. */
  brokers(options: CallBounds = {}): Promise<readonly BrokerMetadata[]> {
    return this.#metadata.brokers(this.#calls.bounds(options));
  }

  /** Offsets of a place in each partition of a topic, or in the given partitions. */
  async listOffsets(
    target: string | readonly PartitionRef[],
    position: Position,
    options: CallBounds = {},
  ): Promise<readonly OffsetListing[]> {
    const bounds = this.#calls.bounds(options);
    const partitions: readonly PartitionRef[] =
      typeof target === 'string'
        ? (await this.#metadata.refresh(target, bounds)).partitions.map(({ partition }) => ({
            topic: target,
            partition,
          }))
        : target;
    const questions = partitions.map((ref) => ({ ...ref, position }));
    const offsets = await findOffsets(this.#metadata, this.#clientId, questions, bounds);
    return partitions.map(({ topic, partition }, index) => ({ topic, partition, offset: offsets[index] as Offset }));
  }

  /** Deletes what lies before the given offsets, for ever; answers the new log starts. OFFSET_OUT_OF_RANGE above the end. */
  async deleteRecords(
    requests: readonly (PartitionRef & { readonly beforeOffset: number })[],
    options: CallBounds = {},
  ): Promise<readonly OffsetListing[]> {
    const offsets = await deleteRecordsBefore(this.#metadata, this.#clientId, requests, this.#calls.bounds(options));
    return requests.map(({ topic, partition }, index) => ({ topic, partition, offset: offsets[index] as Offset }));
  }

  /** Waits until the servers that this client asks know the change. */
  async #settleTopic(name: string, version: bigint, options: CallBounds): Promise<void> {
    this.#metadata.noteVersion(version);
    await this.#metadata.refresh(name, this.#calls.bounds(options));
  }
}
