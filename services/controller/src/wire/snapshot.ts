/** The state machine's snapshot as bytes: `MetadataSnapshot`, sorted throughout, so that equal metadata are equal bytes. */
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { MetadataSnapshotSchema } from '@fleetmq/gen/controller/metadata_log';
import { MetadataImage } from '@fleetmq/metadata';
import { snapshotFromProto, snapshotToProto } from '@fleetmq/metadata/wire';
import type { MetadataView } from '../domain/view.ts';

export function encodeImage(view: Pick<MetadataView, 'snapshot'>): Uint8Array {
  return toBinary(MetadataSnapshotSchema, snapshotToProto(view.snapshot()));
}

/** INVALID_REQUEST for bytes that are no snapshot. */
export function decodeImage(bytes: Uint8Array): MetadataImage {
  return MetadataImage.fromSnapshot(snapshotFromProto(fromBinary(MetadataSnapshotSchema, bytes)));
}
