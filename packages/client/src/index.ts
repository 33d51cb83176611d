export type { RecordHeader } from '@fleetmq/record';
export { DomainError, type ErrorName, errorCatalogue, isDomainError, type Offset, toOffset } from '@fleetmq/shared';
export type { Features, UpdateFeaturesOptions } from './admin/features.ts';
export type { Leaders, WantedLeader } from './admin/leaders.ts';
export type {
  CancelledReassignment,
  ReassignmentList,
  Reassignments,
  StartedReassignment,
  StartReassignmentOptions,
  WantedReplicas,
} from './admin/reassignments.ts';
export {
  type AddControllerOptions,
  Admin,
  type ClusterDescription,
  type ClusterMetadata,
  type ControllerAddress,
  type CreateTopicOptions,
  type DrainedBroker,
  type DrainOptions,
  type ListTopicsOptions,
  type OffsetListing,
  type TopicDescription,
} from './admin.ts';
export { Client, type ClientDeps, type ClientOptions } from './client.ts';
export { Consumer } from './consumer/consumer.ts';
export type { ConsumerOptions } from './consumer/options.ts';
export type { Until } from './consumer/progress.ts';
export { type ConsumedBatch, ConsumedRecord } from './consumer/record.ts';
export type { CallBounds, Entrance } from './metadata.ts';
export type { PartitionRef, Position } from './offsets.ts';
export { murmur2, partitionOfKey } from './producer/murmur2.ts';
export type { CompressionName, DeliveryReport, ProducerOptions } from './producer/options.ts';
export type { Partitioner } from './producer/partitioner.ts';
export { Producer } from './producer/producer.ts';
export type { HeaderInput, ProducerRecord, Receipt, SendOptions } from './producer/record.ts';
export type { Acks } from './producer/wire.ts';
export { type Channel, type ChannelPool, createChannelPool, type RawMessage, type UnaryCall } from './rpc/channel.ts';
export { createConnectChannel } from './rpc/connect-channel.ts';
export { codec, type Plain, type Serde } from './serde.ts';
