import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { ProduceRequestSchema } from '@fleetmq/gen/client/producer';
import { RecordBatchSchema } from '@fleetmq/gen/common/types';
import { tableChecksum } from '@fleetmq/shared';
import fc from 'fast-check';
import { nodeCodecs } from './codecs/node.ts';
import { BatchBuilder, looseRecords } from './index.ts';

const record = fc.record({
  key: fc.option(fc.uint8Array({ maxLength: 300 }), { nil: undefined }),
  value: fc.option(fc.uint8Array({ maxLength: 300 }), { nil: undefined }),
  timestampMs: fc.option(fc.integer({ min: 0, max: 2e12 }), { nil: undefined }),
});

test('loose records are those of the batch, which stays as it was; a compressed batch has none', () => {
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 20 }), fc.nat(3), fc.string(), (inputs, id, key) => {
      const builder = new BatchBuilder();
      for (const { key, value, timestampMs } of inputs) builder.append(key, value, [], timestampMs);
      const codec = nodeCodecs.get(id);
      const options = { ...(codec !== undefined && { codec }), producerId: 2n ** 50n, idempotencyKey: key };
      const { bytes } = builder.build(options, tableChecksum);
      const before = bytes.slice();
      const loose = looseRecords(bytes);
      assert.deepEqual(bytes, before);
      if (codec !== undefined) assert.equal(loose, undefined);
      else {
        const { records } = fromBinary(ProduceRequestSchema, loose as Uint8Array);
        assert.deepEqual(records, fromBinary(RecordBatchSchema, bytes).records);
      }
    }),
  );
});
