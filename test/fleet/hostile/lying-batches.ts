/**
 * Batches that lie about themselves: count, offset delta, checksum, the sizes of records and of what is in them. Each must be
 * refused with the code that says what is wrong, and none may be stored (the test compares the end of the log).
 */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { AcknowledgmentLevel, RecordBatchSchema } from '@fleetmq/gen/common/types';
import { atEachDoor, codeOf } from './doors.ts';
import { type HostileOrder, paced, Tally } from './tally.ts';

type BatchInit = MessageInitShape<typeof RecordBatchSchema>;

/** Per door. */
const perSecond = 100;
const record = { value: new Uint8Array(50) };

interface LyingBatch {
  readonly what: string;
  readonly batch: BatchInit;
  readonly codes: readonly string[];
}

const lies: readonly LyingBatch[] = [
  { what: 'a record count that lies', batch: { records: [record], recordCount: 7 }, codes: ['CORRUPT_BATCH'] },
  { what: 'a count of 4 billion', batch: { records: [record], recordCount: 0xffff_ffff }, codes: ['CORRUPT_BATCH'] },
  { what: 'an offset delta that lies', batch: { records: [record], lastOffsetDelta: 5n }, codes: ['CORRUPT_BATCH'] },
  {
    what: 'an offset delta of 2^63',
    batch: { records: [record], lastOffsetDelta: 2n ** 63n },
    codes: ['CORRUPT_BATCH', 'INVALID_REQUEST'],
  },
  { what: 'a checksum that lies', batch: { records: [record], crc32: 12_345 }, codes: ['CORRUPT_BATCH'] },
  {
    what: 'a record that is longer than the batch',
    batch: withUnknown(7, Buffer.from([0xff, 0xff, 0xff, 0x7f, 0])),
    codes: ['CORRUPT_BATCH', 'INVALID_REQUEST'],
  },
  {
    what: 'a value that is longer than its record',
    batch: withUnknown(7, Buffer.from([3, 0x12, 0x7f, 0])),
    codes: ['CORRUPT_BATCH', 'INVALID_REQUEST'],
  },
  {
    what: 'a compressed batch of 4 billion records',
    batch: { compressionType: 1, compressedRecords: new Uint8Array(60), recordCount: 0xffff_ffff },
    codes: ['RECORD_TOO_LARGE'],
  },
  { what: '100,001 records', batch: { records: manyRecords(100_001) }, codes: ['RECORD_TOO_LARGE'] },
];

/** A field of wire type 2 whose content says what it likes; protobuf writes unknown fields as they are. */
function withUnknown(no: number, data: Uint8Array): BatchInit {
  const batch = create(RecordBatchSchema);
  batch.$unknown = [{ no, wireType: 2, data }];
  return batch;
}

function manyRecords(count: number): { value: Uint8Array }[] {
  return Array.from({ length: count }, () => ({ value: new Uint8Array(0) }));
}

export async function lyingBatches(order: HostileOrder): Promise<Tally> {
  const tally = new Tally();
  const topicPartition = { topic: order.topic, partition: 0 };
  // Encoded once: the caller's own work is not what is measured.
  const encoded = lies.map(({ batch }) => encodeOnce(batch));
  await atEachDoor(order, ({ name, producer }) =>
    paced({ perSecond, seconds: order.seconds }, async (index) => {
      const at = pick(index);
      const { what, codes } = lies[at] as LyingBatch;
      const batch = encoded[at] as BatchInit;
      tally.act();
      const call = producer.produceBatch({
        partitions: [{ topicPartition, batch }],
        acks: AcknowledgmentLevel.ACK_ALL,
      });
      tally.expect(`${name}: ${what}`, await codeOf(call), codes);
    }),
  );
  return tally;
}

/** The last lie is 400 KB long: one call in fifty. */
function pick(index: number): number {
  return index % 50 === 49 ? lies.length - 1 : index % (lies.length - 1);
}

/** The same batch as one with unknown fields only, which costs nothing to encode again. */
function encodeOnce(init: BatchInit): BatchInit {
  const bytes = toBinary(RecordBatchSchema, create(RecordBatchSchema, init));
  const batch = create(RecordBatchSchema);
  batch.$unknown = fieldsOf(bytes);
  return batch;
}

type UnknownField = NonNullable<ReturnType<typeof create<typeof RecordBatchSchema>>['$unknown']>[number];

/** All of it as one field: the first tag is cut off, and written again in front of the rest. */
function fieldsOf(bytes: Uint8Array): UnknownField[] {
  const tag = bytes[0] as number;
  return [{ no: tag >> 3, wireType: tag & 7, data: bytes.subarray(1) }];
}
