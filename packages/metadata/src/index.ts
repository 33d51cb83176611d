export { type CursorEntry, cursorEntriesMax, decodeCursor, encodeCursor } from './cursor.ts';
export { equalValues } from './equal.ts';
export { differenceOf, type MetadataEvent, partitionKey } from './events.ts';
export {
  type FeatureLevels,
  type FeatureName,
  features,
  levelOf,
  requireLevel,
  supportedFeatures,
  unsupportedFeature,
  whatLevelBrings,
} from './features.ts';
export type { BrokerHolding } from './holdings.ts';
export { MetadataImage } from './image.ts';
export { joinSnapshotParts, snapshotParts } from './parts.ts';
export {
  describeClusterConfig,
  describeTopicConfig,
  effectiveTopicConfig,
  isTopicSettingName,
  type TopicConfig,
  type TopicConfigEntry,
  type TopicSetting,
  type TopicSettingName,
  topicSettingNames,
  topicSettings,
  validateClusterConfig,
  validateTopicConfig,
} from './settings.ts';
export {
  addingReplicas,
  type BrokerImage,
  type BrokerState,
  type ClusterImage,
  comparePartitions,
  compareReassignments,
  compareText,
  type EndpointImage,
  emptyCluster,
  endpointOf,
  type ListenerName,
  type MetadataSnapshotImage,
  mayJoinIsr,
  noBroker,
  type PartitionImage,
  type PartitionMove,
  type ReassignmentImage,
  removingReplicas,
  replicationFactorOf,
  type TopicImage,
} from './values.ts';
export { apiVersion, assertMajor, readVersion } from './version.ts';
