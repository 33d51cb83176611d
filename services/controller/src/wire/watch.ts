/** An answer of WatchMetadata, as plain fields. */
import type { MetadataEvent, MetadataSnapshot } from '@fleetmq/gen/controller/metadata_log';

export interface WatchMessage {
  readonly version: bigint;
  readonly term: bigint;
  readonly events: MetadataEvent[];
  readonly leaderId: number;
  readonly snapshot?: MetadataSnapshot;
  readonly snapshotPart?: boolean;
}
