/**
 * The bytes of an image's snapshot, kept in pages, so that a snapshot of much metadata does not hold up whoever makes it: pages
 * are encoded some at a time, between other work, and only those that have changed; the snapshot itself then is their sum.
 *
 * A page is what the topics have whose ids begin alike. Pages in their order, topics by id within each of them, are the order
 * of the snapshot: its bytes are those that protobuf makes of `snapshotToProto`, whatever was encoded when.
 */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { type MetadataSnapshot, MetadataSnapshotSchema } from '@fleetmq/gen/controller/metadata_log';
import {
  type BrokerImage,
  compareText,
  type MetadataEvent,
  type MetadataImage,
  type PartitionImage,
} from '@fleetmq/metadata';
import { concatBytes, type TopicId, WireWriter } from '@fleetmq/shared';
import { PartitionWriter } from './partition-bytes.ts';
import { brokerStateMessage, clusterStateMessage, reassignmentStateMessage, topicStateMessage } from './values.ts';

interface Page {
  readonly topics: Uint8Array;
  /** In pieces of a bounded number of partitions. */
  readonly partitions: readonly Uint8Array[];
}

/** Number of the field in MetadataSnapshot. */
const partitionsField = 5;
const piecePartitions = 1_000;

export class SnapshotPages {
  readonly #image: MetadataImage;
  readonly #topicIds = new Map<number, Set<TopicId>>();
  /** Those that are up to date. */
  readonly #pages = new Map<number, Page>();
  /** The others. */
  readonly #stale = new Set<number>();

  constructor(image: MetadataImage) {
    this.#image = image;
    for (const { topicId } of image.topics()) this.#noteTopic(topicId);
  }

  /** The image has these. */
  changed(events: readonly MetadataEvent[]): void {
    let noted: TopicId | undefined;
    for (const event of events) {
      if (event.kind === 'partition-changed') {
        // Many of one topic come one behind the other.
        const { topicId } = event.partition;
        if (topicId !== noted) this.#noteStale(pageOf(topicId));
        noted = topicId;
      } else if (event.kind === 'topic-changed') this.#noteTopic(event.topic.topicId);
      else if (event.kind === 'topic-removed') this.#forgetTopic(event.topicId);
    }
  }

  /** Encodes pages that have changed, until it has done about `itemsMax` topics and partitions. How many it did; 0: nothing was left. */
  prepare(itemsMax: number): number {
    let items = 0;
    for (const page of this.#stale) {
      if (items >= itemsMax) break;
      items += this.#encodePage(page);
    }
    return items;
  }

  /** The whole snapshot, as of now. `membership`: of the quorum, in the controllers' own snapshots. */
  encode(membership?: MetadataSnapshot['membership']): Uint8Array {
    const pages = this.#upToDate();
    return concatBytes([
      this.#head(this.#image.brokers()),
      ...pages.map(({ topics }) => topics),
      ...pages.flatMap(({ partitions }) => partitions),
      encodeFields({
        ...(membership === undefined ? {} : { membership }),
        reassignments: this.#image.reassignments().map(reassignmentStateMessage),
      }),
    ]);
  }

  /**
   * The same in parts of about `bytesMax`, at least one, for messages that must not grow with the cluster: each is a snapshot
   * in pieces, with some of the items. They share memory with each other and with later calls, and never change.
   */
  parts(bytesMax: number): readonly (readonly Uint8Array[])[] {
    const head = this.#head([]);
    const brokers = encodeFields({ brokers: this.#image.brokers().map(brokerStateMessage) });
    const reassignments = encodeFields({ reassignments: this.#image.reassignments().map(reassignmentStateMessage) });
    const parts: Uint8Array[][] = [[head, brokers, reassignments]];
    let bytes = brokers.length + reassignments.length;
    for (const piece of this.#upToDate().flatMap(({ topics, partitions }) => [topics, ...partitions])) {
      if (bytes > 0 && bytes + piece.length > bytesMax) {
        parts.push([head]);
        bytes = 0;
      }
      parts.at(-1)?.push(piece);
      bytes += piece.length;
    }
    return parts;
  }

  #head(brokers: readonly BrokerImage[]): Uint8Array {
    const { version, cluster } = this.#image;
    return encodeFields({
      version: BigInt(version),
      cluster: clusterStateMessage(cluster),
      brokers: brokers.map(brokerStateMessage),
    });
  }

  /** All pages in their order. */
  #upToDate(): readonly Page[] {
    this.prepare(Number.POSITIVE_INFINITY);
    return [...this.#pages].sort(([left], [right]) => left - right).map(([, page]) => page);
  }

  /** The number of its topics and partitions, and 1 for the page itself. */
  #encodePage(page: number): number {
    const image = this.#image;
    const topicIds = [...(this.#topicIds.get(page) ?? [])].sort(compareText);
    const topics = topicIds.flatMap((topicId) => image.topicById(topicId) ?? []);
    const partitions = topicIds.flatMap((topicId) => image.partitions(topicId));
    this.#stale.delete(page);
    if (topics.length === 0) {
      this.#pages.delete(page);
    } else {
      this.#pages.set(page, {
        topics: encodeFields({ topics: topics.map(topicStateMessage) }),
        partitions: encodePartitions(partitions),
      });
    }
    return 1 + topics.length + partitions.length;
  }

  #noteTopic(topicId: TopicId): void {
    const page = pageOf(topicId);
    const topicIds = this.#topicIds.get(page) ?? new Set();
    this.#topicIds.set(page, topicIds.add(topicId));
    this.#noteStale(page);
  }

  #forgetTopic(topicId: TopicId): void {
    const page = pageOf(topicId);
    const topicIds = this.#topicIds.get(page);
    topicIds?.delete(topicId);
    if (topicIds?.size === 0) this.#topicIds.delete(page);
    this.#noteStale(page);
  }

  /** What was encoded of it is of no use any more. */
  #noteStale(page: number): void {
    this.#stale.add(page);
    this.#pages.delete(page);
  }
}

/** The first three hexadecimal digits: 4,096 pages. */
function pageOf(topicId: TopicId): number {
  return Number.parseInt(topicId.slice(0, 3), 16);
}

function encodeFields(fields: MessageInitShape<typeof MetadataSnapshotSchema>): Uint8Array {
  return toBinary(MetadataSnapshotSchema, create(MetadataSnapshotSchema, fields));
}

function encodePartitions(partitions: readonly PartitionImage[]): readonly Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let from = 0; from < partitions.length; from += piecePartitions) {
    const writer = new WireWriter(256);
    const partitionWriter = new PartitionWriter(writer);
    for (const partition of partitions.slice(from, from + piecePartitions)) {
      partitionWriter.writeField(partitionsField, partition);
    }
    pieces.push(writer.finish().slice());
  }
  return pieces;
}
