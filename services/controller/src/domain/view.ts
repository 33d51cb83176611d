/**
 * What the rules see and what they give back: a read-only metadata image, the place of the command in the log, and events.
 * The image belongs to the state machine (`shell/state-machine.ts`), which alone applies events to it.
 */
import {
  levelOf,
  type MetadataEvent,
  type MetadataImage,
  type PartitionImage,
  type TopicImage,
} from '@fleetmq/metadata';
import type { LogIndex, MetadataVersion } from '@fleetmq/shared';

export type MetadataView = Omit<MetadataImage, 'apply'>;

export interface ApplyContext {
  /** Index of the command's log entry: the metadata version that it leads to, and the epoch of a broker that registers. */
  readonly index: LogIndex;
  /** When the leader proposed it, by the leader's wall clock: the only clock that commands see. */
  readonly timestampMs: number;
}

export interface Applied<Result> {
  readonly events: readonly MetadataEvent[];
  readonly result: Result;
}

/** A topic with its partitions, by number. */
export interface TopicAnswer {
  readonly topic: TopicImage;
  readonly partitions: readonly PartitionImage[];
  /** As of this version. */
  readonly version: MetadataVersion;
}

/** The metadata.version that is in use. */
export function metadataLevel({ cluster }: MetadataView): number {
  return levelOf(cluster.features, 'metadata.version');
}
