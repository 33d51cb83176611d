/**
 * The program of the test page: connect-web and gen/, nothing else of FleetMQ. The test drives it through `window.page`.
 * Browsers cannot stream requests; everything here is unary or a server stream.
 */
import { type Client, createClient, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcWebTransport } from '@connectrpc/connect-web';
import { ConsumerService } from '@fleetmq/gen/client/consumer';
import { ProducerService } from '@fleetmq/gen/client/producer';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import { AcknowledgmentLevel } from '@fleetmq/gen/common/types';
import { AdminService } from '@fleetmq/gen/controller/admin';

interface Page {
  createTopic(name: string): Promise<number>;
  produce(topic: string, values: readonly string[]): Promise<string>;
  tail(topic: string): void;
  readonly seen: string[];
  stop(): void;
}

function transportOf(protocol: string, baseUrl: string): Transport {
  return protocol === 'grpc-web' ? createGrpcWebTransport({ baseUrl }) : createConnectTransport({ baseUrl });
}

function createPage(protocol: string, baseUrl: string): Page {
  const transport = transportOf(protocol, baseUrl);
  const admin: Client<typeof AdminService> = createClient(AdminService, transport);
  const producer = createClient(ProducerService, transport);
  const consumer = createClient(ConsumerService, transport);
  const stop = new AbortController();
  const seen: string[] = [];

  async function follow(topic: string): Promise<void> {
    const partitions = [{ topicPartition: { topic, partition: 0 } }];
    for await (const answer of consumer.subscribe({ partitions }, { signal: stop.signal })) {
      for (const partition of answer.partitions) {
        if (partition.errorCode !== ErrorCode.OK) throw new Error(partition.errorMessage);
        for (const batch of partition.batches) {
          for (const record of batch.records) seen.push(new TextDecoder().decode(record.value));
        }
      }
    }
  }

  return {
    seen,
    stop: () => stop.abort(),
    async createTopic(name) {
      const answer = await admin.createTopic({ name, partitionCount: 1, replicationFactor: 1 });
      return answer.topic?.partitions.length ?? 0;
    },
    async produce(topic, values) {
      const answer = await producer.produce({
        topicPartition: { topic, partition: 0 },
        records: values.map((value) => ({ value: new TextEncoder().encode(value) })),
        acks: AcknowledgmentLevel.ACK_ALL,
      });
      if (answer.errorCode !== ErrorCode.OK) throw new Error(answer.errorMessage);
      return answer.offset.toString();
    },
    tail(topic) {
      follow(topic).catch((error: unknown) => {
        if (!stop.signal.aborted) seen.push(`error: ${error}`);
      });
    },
  };
}

const query = new URLSearchParams(location.search);
Object.assign(window, { page: createPage(query.get('protocol') ?? 'connect', query.get('gateway') ?? '') });
