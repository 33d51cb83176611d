/**
 * An answer of WatchMetadata, and its bytes. Events and snapshots come encoded, since all watchers are sent the same ones: an
 * answer is some bytes of its own around pieces that it shares with others.
 */
import { toBinary } from '@bufbuild/protobuf';
import { type RaftPeer, RaftPeerSchema } from '@fleetmq/gen/controller/raft';
import { type MetadataVersion, type Term, WireWriter } from '@fleetmq/shared';

/** Number of the field of events. */
export const eventsField = 4;

export interface WatchMessage {
  readonly version: MetadataVersion;
  readonly term: Term;
  readonly leaderId: number;
  /** Fields of number `eventsField`. */
  readonly events: readonly Uint8Array[];
  /** Empty: as before. */
  readonly controllers: readonly RaftPeer[];
  /** A part of a snapshot, in pieces. */
  readonly snapshot?: readonly Uint8Array[];
  /** Of the same snapshot. */
  readonly hasMoreParts?: boolean;
}

/** The pieces of a WatchMetadataResponse. */
export function encodeWatchMessage(message: WatchMessage): Uint8Array[] {
  const { version, term, leaderId, events, controllers, snapshot, hasMoreParts } = message;
  const head = new WireWriter(32).varintField(1, version).varintField(2, term);
  if (snapshot !== undefined) {
    let length = 0;
    for (const piece of snapshot) length += piece.length;
    head.bytesHeader(3, length);
  }
  const tail = new WireWriter(64).varintField(5, hasMoreParts === true ? 1 : 0).varintField(6, leaderId);
  for (const each of controllers) tail.bytesField(7, toBinary(RaftPeerSchema, each));
  return [head.finish(), ...(snapshot ?? []), ...events, tail.finish()];
}
