/** The state machine's snapshot as bytes: `MetadataSnapshot`, sorted throughout, so that equal metadata are equal bytes. */
import { toBinary } from '@bufbuild/protobuf';
import { MetadataSnapshotSchema } from '@fleetmq/gen/controller/metadata_log';
import { MetadataImage } from '@fleetmq/metadata';
import { decodeSnapshot, snapshotToProto } from '@fleetmq/metadata/wire';
import { type Membership, noMembership } from '../domain/membership.ts';
import type { MetadataView } from '../domain/view.ts';
import { membershipFromProto, membershipToProto } from './membership.ts';

/** All at once; what a controller saves comes from `SnapshotPages`. */
export function encodeImage(view: Pick<MetadataView, 'snapshot'>, membership = noMembership): Uint8Array {
  const message = snapshotToProto(view.snapshot());
  if (membership !== noMembership) message.membership = membershipToProto(membership);
  return toBinary(MetadataSnapshotSchema, message);
}

/** INVALID_REQUEST for bytes that are no snapshot. */
export function decodeImage(bytes: Uint8Array): MetadataImage {
  return decodeState(bytes).image;
}

export interface DecodedState {
  readonly image: MetadataImage;
  readonly membership: Membership;
}

/** INVALID_REQUEST for bytes that are no snapshot. */
export function decodeState(bytes: Uint8Array): DecodedState {
  const { snapshot, message } = decodeSnapshot(bytes);
  return { image: MetadataImage.fromSnapshot(snapshot), membership: membershipFromProto(message.membership) };
}
