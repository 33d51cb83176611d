/** A page that uses `@fleetmq/client/web`: the same producer and consumer as in Node, over Connect or gRPC-Web. */
import { connect } from '@fleetmq/client/web';

const query = new URLSearchParams(location.search);
const protocol = query.get('protocol') === 'grpc-web' ? 'grpc-web' : 'connect';

/** Makes a topic, produces `count` records, reads all of them back; what came, in order per partition. */
async function roundTrip(topic: string, count: number): Promise<{ produced: number; values: string[] }> {
  await using mq = await connect({ url: query.get('gateway') ?? '', protocol });
  await mq.admin.createTopic(topic, { partitions: 2, replicationFactor: 1 });
  await using producer = mq.producer();
  const receipts = await producer.send(
    Array.from({ length: count }, (_, i) => ({ topic, key: `key-${i}`, value: `value ${i}` })),
  );
  const values: string[] = [];
  for await (const record of mq.consumer({ topic, from: 'earliest', until: 'end' })) {
    values.push(new TextDecoder().decode(record.valueBytes));
  }
  return { produced: receipts.length, values };
}

Object.assign(window, { roundTrip });
