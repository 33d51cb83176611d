import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { ProduceBatchRequestSchema, ProduceRequestSchema } from '@fleetmq/gen/client/producer';
import { AcknowledgmentLevel, RecordSchema } from '@fleetmq/gen/common/types';
import { concatBytes } from '@fleetmq/shared';
import { type Acks, encodeProduce, encodeProduceBatch } from './wire.ts';

const cases: readonly (readonly [Acks, AcknowledgmentLevel, number])[] = [
  ['none', AcknowledgmentLevel.ACK_NONE, 0],
  ['leader', AcknowledgmentLevel.ACK_LEADER, 0],
  ['majority', AcknowledgmentLevel.ACK_MAJORITY, 0],
  ['all', AcknowledgmentLevel.ACK_ALL, 0],
  [2, AcknowledgmentLevel.ACK_CUSTOM, 2],
];

for (const [acks, level, count] of cases) {
  test(`acks ${acks} say the same on a stream and in a call`, () => {
    const head = { clientId: 'c', acks, timeoutMs: 1500 };
    const record = create(RecordSchema, { value: new Uint8Array([1, 2]) });
    const body = toBinary(RecordSchema, record);
    const part = { topic: 't', partition: 7 };
    const loose = {
      ...part,
      records: concatBytes([Uint8Array.of(0x22, body.length), body]),
      identity: { producerId: 2n ** 60n, producerEpoch: 3, baseSequence: 2 ** 31 - 1 },
      correlationId: 9,
    };
    const produce = fromBinary(ProduceRequestSchema, concatBytes(encodeProduce(head, loose)));
    const batch = concatBytes([Uint8Array.of(0x3a, body.length), body]);
    const call = fromBinary(
      ProduceBatchRequestSchema,
      concatBytes(encodeProduceBatch(head, [{ ...part, batch: [batch] }])),
    );
    for (const { acks: sent, customAckCount, timeout, clientId } of [produce, call]) {
      assert.deepEqual([sent, customAckCount, clientId], [level, count, 'c']);
      assert.deepEqual([timeout?.seconds, timeout?.nanos], [1n, 500_000_000]);
    }
    assert.deepEqual(produce.topicPartition, call.partitions[0]?.topicPartition);
    assert.deepEqual(produce.records, call.partitions[0]?.batch?.records);
    const { producerId, producerEpoch, baseSequence, correlationId } = produce;
    assert.deepEqual({ producerId, producerEpoch, baseSequence }, loose.identity);
    assert.equal(correlationId, 9n);
  });
}
