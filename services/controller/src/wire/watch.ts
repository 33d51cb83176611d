/** An answer of WatchMetadata, as plain fields. */
import type { MetadataEvent, MetadataSnapshot } from '@fleetmq/gen/controller/metadata_log';
import type { RaftPeer } from '@fleetmq/gen/controller/raft';

export interface WatchMessage {
  readonly version: bigint;
  readonly term: bigint;
  readonly events: MetadataEvent[];
  readonly leaderId: number;
  readonly controllers?: RaftPeer[];
  readonly snapshot?: MetadataSnapshot;
  readonly snapshotPart?: boolean;
}
