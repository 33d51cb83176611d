/** Events to bytes, for whoever sends the same ones to many: they are encoded once, as fields of the message that carries them. */
import { toBinary } from '@bufbuild/protobuf';
import { MetadataEventSchema } from '@fleetmq/gen/controller/metadata_log';
import type { MetadataEvent } from '@fleetmq/metadata';
import { WireWriter } from '@fleetmq/shared';
import { eventToProto } from './log.ts';
import { PartitionWriter } from './partition-bytes.ts';

/** One field of this number and of type MetadataEvent for each event, in their order. */
export function encodeEvents(field: number, events: readonly MetadataEvent[]): Uint8Array {
  const writer = new WireWriter(256);
  const partitions = new PartitionWriter(writer);
  for (const event of events) {
    if (event.kind === 'partition-changed') partitions.writeEventField(field, event.partition);
    else writer.bytesField(field, toBinary(MetadataEventSchema, eventToProto(event)));
  }
  return writer.finish().slice();
}
