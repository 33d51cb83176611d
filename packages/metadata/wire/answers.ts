/**
 * The answers of MetadataService, as functions of the image: brokers and gateways serve the same. Names and pages are
 * checked here; waiting for a version and access rules are the caller's.
 *
 * What a request names and does not exist is an error code in the body. What is malformed as a whole is thrown.
 */
import { create } from '@bufbuild/protobuf';
import {
  type GetBrokerListResponse,
  GetBrokerListResponseSchema,
  type GetClusterMetadataResponse,
  GetClusterMetadataResponseSchema,
  type GetPartitionLeaderRequest,
  type GetPartitionLeaderResponse,
  GetPartitionLeaderResponseSchema,
  type GetTopicMetadataRequest,
  type GetTopicMetadataResponse,
  GetTopicMetadataResponseSchema,
  type ListTopicsRequest,
  type ListTopicsResponse,
  ListTopicsResponseSchema,
  type TopicMetadataResult,
  TopicMetadataResultSchema,
  TopicSummarySchema,
} from '@fleetmq/gen/client/metadata';
import type { ErrorCode } from '@fleetmq/gen/common/errors';
import type { BrokerMetadata } from '@fleetmq/gen/common/metadata';
import { apiVersion, endpointOf, type ListenerName, type MetadataImage, type TopicImage } from '@fleetmq/metadata';
import { DomainError, type ErrorName, errorNumber, isTopicName } from '@fleetmq/shared';
import { brokerToProto, durationToProto, topicToProto } from './common.ts';
import { partitionToProto } from './values.ts';

/** Names in one GetTopicMetadata. */
export const namesMax = 1_000;
/** Topics in an answer that was asked for all of them, and in a page of ListTopics. */
export const topicsMax = 10_000;
const pageSizeDefault = 1_000;

export function topicMetadataAnswer(
  image: MetadataImage,
  request: GetTopicMetadataRequest,
  listener: ListenerName,
): GetTopicMetadataResponse {
  const { topics: names } = request;
  if (names.length > namesMax) {
    throw new DomainError('INVALID_REQUEST', `${names.length} topics are asked for, ${namesMax} can be`);
  }
  const visible = names.length > 0 ? names : firstNames(image);
  return create(GetTopicMetadataResponseSchema, {
    topics: visible.map((name) => topicResult(image, name)),
    brokers: brokersOf(image, listener),
    metadataVersion: BigInt(image.version),
  });
}

function firstNames(image: MetadataImage): readonly string[] {
  const visible = image.topics().filter((topic) => !topic.internal);
  return visible.slice(0, topicsMax).map((topic) => topic.name);
}

function topicResult(image: MetadataImage, name: string): TopicMetadataResult {
  const topic = image.topicByName(name);
  if (topic !== undefined) return create(TopicMetadataResultSchema, { name, topic: topicToProto(image, topic) });
  return create(TopicMetadataResultSchema, { name, ...missingTopic(name) });
}

/** A page of topics in the order of their names. A page size above the bound is cut to it. */
export function listTopicsAnswer(image: MetadataImage, request: ListTopicsRequest): ListTopicsResponse {
  const pageSize = Math.min(topicsMax, request.pageSize === 0 ? pageSizeDefault : request.pageSize);
  const after = nameOfToken(request.pageToken);
  const topics = image.topics();
  const page: TopicImage[] = [];
  let hasMore = false;
  for (let index = firstIndex(topics, after, request.prefix); index < topics.length; index++) {
    const topic = topics[index] as TopicImage;
    if (!topic.name.startsWith(request.prefix)) break;
    if (topic.internal && !request.includeInternal) continue;
    hasMore = page.length === pageSize;
    if (hasMore) break;
    page.push(topic);
  }
  return create(ListTopicsResponseSchema, {
    topics: page.map((topic) =>
      create(TopicSummarySchema, {
        name: topic.name,
        topicId: topic.topicId,
        partitionCount: topic.partitionCount,
        replicationFactor: image.replicationFactor(topic.topicId),
        internal: topic.internal,
      }),
    ),
    nextPageToken: hasMore ? `${tokenPrefix}${page.at(-1)?.name}` : '',
    metadataVersion: BigInt(image.version),
  });
}

const tokenPrefix = '1.';

/** The last name of the page before. Names are safe in URLs, so the token is the name behind a version mark. */
function nameOfToken(token: string): string {
  if (token === '') return '';
  const name = token.slice(tokenPrefix.length);
  if (!token.startsWith(tokenPrefix) || !isTopicName(name)) {
    throw new DomainError('INVALID_REQUEST', 'page_token does not come from an answer of this call');
  }
  return name;
}

/** Of the first topic behind `after` that is not before `prefix`, by bisection: topics are sorted by name. */
function firstIndex(topics: readonly TopicImage[], after: string, prefix: string): number {
  let low = 0;
  let high = topics.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { name } = topics[middle] as TopicImage;
    if (name <= after || name < prefix) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function brokerListAnswer(image: MetadataImage, listener: ListenerName): GetBrokerListResponse {
  return create(GetBrokerListResponseSchema, {
    brokers: brokersOf(image, listener),
    metadataVersion: BigInt(image.version),
  });
}

export function partitionLeaderAnswer(
  image: MetadataImage,
  request: GetPartitionLeaderRequest,
  listener: ListenerName,
): GetPartitionLeaderResponse {
  const { topicPartition } = request;
  const metadataVersion = BigInt(image.version);
  if (topicPartition === undefined) {
    // In band: the request of the first contract has no fields, and its clients must be able to make the call.
    const missing = inBand('INVALID_REQUEST', 'topic_partition is missing: name a topic and a partition');
    return create(GetPartitionLeaderResponseSchema, { ...missing, metadataVersion });
  }
  const topic = image.topicByName(topicPartition.topic);
  if (topic === undefined) {
    return create(GetPartitionLeaderResponseSchema, { ...missingTopic(topicPartition.topic), metadataVersion });
  }
  const partition = image.partition(topic.topicId, topicPartition.partition);
  if (partition === undefined) {
    const text = `topic ${topic.name} has partitions 0 to ${topic.partitionCount - 1}, not ${topicPartition.partition}`;
    return create(GetPartitionLeaderResponseSchema, { ...inBand('PARTITION_NOT_FOUND', text), metadataVersion });
  }
  const found = { partition: partitionToProto(partition), metadataVersion };
  const broker = image.broker(partition.leaderId);
  if (broker === undefined || endpointOf(broker, listener) === undefined) {
    const text = `partition ${partition.partition} of ${topic.name} has no leader at the moment: try again`;
    return create(GetPartitionLeaderResponseSchema, { ...inBand('NOT_AVAILABLE', text), ...found });
  }
  return create(GetPartitionLeaderResponseSchema, { leader: brokerToProto(broker, listener), ...found });
}

/** What an answer about the cluster needs besides the image. */
export interface ClusterAnswerContext {
  readonly listener: ListenerName;
  readonly controllers: readonly { readonly controllerId: number; readonly host: string; readonly port: number }[];
  /** 0: not known. */
  readonly controllerLeaderId: number;
  readonly securityMode: string;
  readonly serverVersion: string;
  /** Since the server last heard from the controllers. */
  readonly ageMs: number;
}

export function clusterMetadataAnswer(image: MetadataImage, context: ClusterAnswerContext): GetClusterMetadataResponse {
  const showsAddress = context.listener === 'internal';
  return create(GetClusterMetadataResponseSchema, {
    clusterId: image.cluster.clusterId,
    brokers: brokersOf(image, context.listener),
    controllers: context.controllers.map(({ controllerId, host, port }) => ({
      controllerId,
      leader: controllerId === context.controllerLeaderId,
      ...(showsAddress ? { host, port } : {}),
    })),
    securityMode: context.securityMode,
    metadataVersion: BigInt(image.version),
    metadataAge: durationToProto(context.ageMs),
    apiVersion,
    serverVersion: context.serverVersion,
  });
}

function brokersOf(image: MetadataImage, listener: ListenerName): BrokerMetadata[] {
  return image.brokers().map((broker) => brokerToProto(broker, listener));
}

interface InBandError {
  readonly errorCode: ErrorCode;
  readonly errorMessage: string;
}

/** The two fields of an error in a body. */
export function inBand(code: ErrorName, errorMessage: string): InBandError {
  return { errorCode: errorNumber(code) as ErrorCode, errorMessage };
}

/** Why there is no topic of this name: TOPIC_NOT_FOUND, or INVALID_REQUEST for what cannot be a name. */
export function missingTopic(name: string): InBandError {
  if (isTopicName(name)) return inBand('TOPIC_NOT_FOUND', `there is no topic ${name}`);
  return inBand('INVALID_REQUEST', 'a topic name is 1 to 249 characters of A-Z a-z 0-9 . _ - and neither "." nor ".."');
}
