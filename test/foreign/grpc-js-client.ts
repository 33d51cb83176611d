/** A client of the first contract alone: @grpc/grpc-js over the image of the design, no code of FleetMQ. */
import { readFileSync } from 'node:fs';
import { credentials, loadPackageDefinition, type ServiceClientConstructor } from '@grpc/grpc-js';
import { loadFileDescriptorSetFromBuffer } from '@grpc/proto-loader';
import { designImage } from './toolchains.ts';

type Message = Record<string, unknown>;

interface ClientPackage {
  readonly rustmq: {
    readonly client: Record<'ProducerService' | 'ConsumerService' | 'MetadataService', ServiceClientConstructor>;
  };
}

const definition = loadFileDescriptorSetFromBuffer(readFileSync(designImage), {
  enums: String,
  longs: Number,
  defaults: true,
});
const { client } = (loadPackageDefinition(definition) as unknown as ClientPackage).rustmq;

export interface GrpcJsOutcome {
  readonly offset: number;
  readonly leader: string;
  readonly fetched: readonly string[];
}

/** Produces and fetches at whichever of the addresses leads the partition, and asks for metadata there. */
export async function exerciseGrpcJs(
  name: string,
  addresses: readonly string[],
  topic: string,
): Promise<GrpcJsOutcome> {
  for (const address of addresses) {
    const stubs = {
      producer: new client.ProducerService(address, credentials.createInsecure()),
      consumer: new client.ConsumerService(address, credentials.createInsecure()),
      metadata: new client.MetadataService(address, credentials.createInsecure()),
    };
    const call = (stub: keyof typeof stubs, method: string, message: Message): Promise<Message> =>
      new Promise((resolve, reject) => {
        const deadline = Date.now() + 20_000;
        const invoke = stubs[stub][method] as (
          m: Message,
          o: object,
          done: (e: Error | null, r: Message) => void,
        ) => void;
        invoke.call(stubs[stub], message, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer)));
      });
    try {
      const place = { topic, partition: 0 };
      const records = [0, 1, 2].map((i) => ({ key: Buffer.from('js'), value: Buffer.from(`${name}-${i}`) }));
      const produced = await call('producer', 'Produce', { topic_partition: place, records, acks: 'ACK_ALL' });
      if (produced['error_code'] === 'NOT_LEADER') continue;
      if (produced['error_code'] !== 'OK') throw new Error(`produce: ${JSON.stringify(produced)}`);
      const offset = produced['offset'] as number;
      const partitions = [{ topic_partition: place, fetch_offset: offset }];
      const answer = await call('consumer', 'Fetch', { min_bytes: 1, max_bytes: 1 << 20, partitions });
      const [partition] = answer['partitions'] as {
        batches: { base_offset: number; records: { value: Buffer }[] }[];
      }[];
      const fetched = (partition?.batches ?? []).flatMap((batch) =>
        batch.records
          .filter((_, position) => batch.base_offset + position >= offset)
          .map((record) => record.value.toString()),
      );
      await call('metadata', 'ListTopics', {});
      await call('metadata', 'GetPartitionLeader', {});
      return { offset, leader: produced['leader_id'] as string, fetched: fetched.slice(0, 3) };
    } finally {
      for (const stub of Object.values(stubs)) stub.close();
    }
  }
  throw new Error(`no leader among ${addresses.join(', ')}`);
}
