/** Records per second into one partition and out of it, through the client's own interface. */
import assert from 'node:assert/strict';
import type { Client, ProducerRecord } from '@fleetmq/client/node';

/** Seconds from the first record until the last acknowledgment (ACK_ALL, after fdatasync). */
export async function measureProduce(mq: Client, topic: string, size: number, count: number): Promise<number> {
  const value = new Uint8Array(size).fill(97);
  let acknowledged = 0;
  await using producer = mq.producer({
    onDelivery: ({ recordCount, error }) => {
      if (error !== undefined) throw error;
      acknowledged += recordCount;
    },
  });
  await producer.send(topic, value); // The topic is known and the connection open before the clock starts.
  acknowledged = 0;
  const record: ProducerRecord = { topic, value };
  function* records(): Iterable<ProducerRecord> {
    for (let i = 1; i < count; i++) yield record;
  }
  const start = performance.now();
  await producer.sendBatch(records());
  await producer.flush();
  const seconds = (performance.now() - start) / 1000;
  assert.equal(acknowledged, count - 1);
  return seconds;
}

/** Seconds to read everything back; every record's value is looked at. */
export async function measureConsume(mq: Client, topic: string, count: number): Promise<number> {
  const start = performance.now();
  let records = 0;
  let bytes = 0;
  for await (const batch of mq.consumer({ topic, from: 'earliest', until: 'end' }).batches()) {
    for (const record of batch.records) {
      records++;
      bytes += record.valueBytes?.length ?? 0;
    }
  }
  assert.equal(records, count);
  assert.ok(bytes > 0);
  return (performance.now() - start) / 1000;
}
