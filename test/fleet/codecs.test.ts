/**
 * Codecs through the whole fleet: batches lie on disk as their producer compressed them, go out as they lie to a reader that
 * takes the codec, and inflated to one that does not. Checked on the bytes: the compressed batch that a reader gets equals the one
 * in the segment file.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { createClient } from '@connectrpc/connect';
import { ConsumerService, FetchPartitionResponseSchema } from '@fleetmq/gen/client/consumer';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import type { CompressionType } from '@fleetmq/gen/common/types';
import { createLaneTransport, type LaneTransport } from '@fleetmq/shared/runtime';
import { startTestFleet, type TestFleet } from '@fleetmq/testkit';

const codecs = { lz4: 1, zstd: 2, snappy: 3 } as const;
const values = Array.from({ length: 200 }, (_, i) => `the same words again and again, number ${i}`);

describe('codecs', () => {
  let fleet: TestFleet;
  let transport: LaneTransport;

  before(async () => {
    fleet = await startTestFleet({ controllers: 1, brokers: 1 });
    transport = createLaneTransport({ baseUrl: fleet.url });
  });

  after(async () => {
    await transport.close();
    await fleet[Symbol.asyncDispose]();
  });

  for (const [compression, id] of Object.entries(codecs) as [keyof typeof codecs, CompressionType][]) {
    test(`${compression}: stored and served as it lies, inflated for a reader that does not take it`, async () => {
      const topic = `codec-${compression}`;
      const created = await fleet.client.admin.createTopic(topic, { partitions: 1, replicationFactor: 1 });
      {
        await using producer = fleet.client.producer({ compression });
        await producer.send(values.map((value) => ({ topic, value, partition: 0 })));
      }
      const consumer = createClient(ConsumerService, transport);
      const partitions = [{ topicPartition: { topic, partition: 0 }, fetchOffset: 0n }];

      const packed = (await consumer.fetch({ partitions, acceptedCodecs: [id] })).partitions[0];
      assert.equal(packed?.errorCode, ErrorCode.OK);
      assert.equal(packed.batches[0]?.compressionType, id);
      assert.equal(packed.batches[0].records.length, 0);

      const folder = join(fleet.processes.dataFolder, 'broker-1');
      const segment = readdirSync(folder, { recursive: true, encoding: 'utf8' }).find(
        (path) => path.includes(created.topicId) && path.endsWith('.log'),
      );
      assert.ok(segment, `a segment of topic ${created.topicId} below ${folder}`);
      const stored = fromBinary(FetchPartitionResponseSchema, readFileSync(join(folder, segment)));
      assert.deepEqual(packed.batches, stored.batches);

      const plain = (await consumer.fetch({ partitions })).partitions[0];
      const inflated = plain?.batches.flatMap((batch) => batch.records) ?? [];
      assert.deepEqual(
        inflated.map((record) => new TextDecoder().decode(record.value)),
        values,
      );

      const read: string[] = [];
      for await (const record of fleet.client.consumer({ topic, from: 'earliest', until: 'end' })) {
        read.push(new TextDecoder().decode(record.valueBytes));
      }
      assert.deepEqual(read, values);
    });
  }
});
