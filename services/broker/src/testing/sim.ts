/**
 * What the simulator takes of the broker: a node below its listeners, the calls that it serves, what invariants read, and the
 * classes that planted bugs patch from the outside. For `@fleetmq/testkit` alone.
 */
export { type BrokerConfig, brokerSchema } from '../config.ts';
export { IsrState } from '../domain/isr.ts';
export { LeaderState } from '../domain/leader.ts';
export { PartitionState } from '../domain/partition.ts';
export { Progress } from '../domain/progress.ts';
export { brokerRoutes } from '../rpc/routes.ts';
export { AckQueue } from '../shell/ack-queue.ts';
export { ControllerLink } from '../shell/controller-link.ts';
export { Feed } from '../shell/feed.ts';
export { Fetcher } from '../shell/fetcher.ts';
export { ReplicationReceiver } from '../shell/follower.ts';
export { FollowerLink } from '../shell/follower-link.ts';
export { IsrProposer } from '../shell/isr-proposer.ts';
export { LogFolders } from '../shell/log-folders.ts';
export { type BrokerNode, type BrokerNodePorts, createBrokerNode, type NodeListener } from '../shell/node.ts';
export { Partitions } from '../shell/partitions.ts';
export { Producer } from '../shell/producer.ts';
export { Replica } from '../shell/replica.ts';
export { ReplicaLogs } from '../shell/replica-logs.ts';
export { WatermarkFile } from '../shell/watermarks.ts';
export { createInlineInflater } from './inline-inflater.ts';
