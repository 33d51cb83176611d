/**
 * One Produce call per record, by three clients: @grpc/grpc-js and grpc-go over the image of the first contract, as somebody has
 * them who generated a client of his own, and our own gRPC client with the generated messages.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { connect } from '@fleetmq/client/node';
import { ProducerService } from '@fleetmq/gen/client/producer';
import { AcknowledgmentLevel } from '@fleetmq/gen/common/types';
import { createRpcPool } from '@fleetmq/shared/runtime';
import {
  credentials,
  type Client as GrpcClient,
  loadPackageDefinition,
  type ServiceClientConstructor,
} from '@grpc/grpc-js';
import { loadFileDescriptorSetFromBuffer } from '@grpc/proto-loader';
import type { ClosedLoopOptions, ClosedLoopResult } from '../closed-loop.ts';
import type { AckLevel, Workload } from '../workload.ts';
import type { Driver, DriverSpec } from './driver.ts';
import { createTopic, untilKnown } from './fleetmq.ts';

type UnarySpec = Extract<DriverSpec, { kind: 'grpc-js' | 'grpc-go' | 'lane' }>;
type Call = (value: Buffer) => Promise<void>;

const execute = promisify(execFile);
const image = fileURLToPath(new URL('../../proto/baseline/design.binpb', import.meta.url));
const goClient = fileURLToPath(new URL('../../test/foreign/print-go-client.ts', import.meta.url));
const ackLevels = {
  none: 'ACK_NONE',
  leader: 'ACK_LEADER',
  majority: 'ACK_MAJORITY',
  all: 'ACK_ALL',
} as const satisfies Record<AckLevel, keyof typeof AcknowledgmentLevel>;

export async function openUnary(spec: UnarySpec): Promise<Driver> {
  await using stack = new AsyncDisposableStack();
  const admin = stack.use(await connect({ url: spec.gateway }));
  const unfit = (): never => {
    throw new Error('this client makes unary calls alone');
  };
  const open = spec.kind === 'grpc-js' ? openGrpcJs(spec, stack) : openLane(spec, stack);
  const owned = stack.move();
  return {
    async createTopic(topic, workload) {
      await createTopic(admin, topic, workload, {});
      const call = open(topic, workload);
      await untilKnown(() => call(Buffer.alloc(1)));
    },
    deleteTopic: (topic) => admin.admin.deleteTopic(topic),
    ...(spec.kind === 'grpc-go'
      ? { callInLoop: await loopInGo(spec) }
      : { call: async (topic: string, workload: Workload) => open(topic, workload) }),
    produce: unfit,
    consume: unfit,
    publish: unfit,
    subscribe: unfit,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function openLane({ address }: UnarySpec, stack: AsyncDisposableStack): (topic: string, workload: Workload) => Call {
  const transport = stack.use(createRpcPool()).get(`http://${address}`);
  return (topic, { acks }) => {
    const head = { topicPartition: { topic, partition: 0 }, acks: AcknowledgmentLevel[ackLevels[acks]] };
    return async (value) => {
      const input = { ...head, records: [{ value }] };
      const { message } = await transport.unary(ProducerService.method.produce, undefined, 30_000, undefined, input);
      if (message.errorCode !== 0) throw new Error(message.errorMessage);
    };
  };
}

/** The program is made when it is not there; that takes half a minute. */
async function loopInGo({ address }: UnarySpec): Promise<NonNullable<Driver['callInLoop']>> {
  const { stdout: program } = await execute(process.execPath, [goClient]);
  return async (topic, { size }, { callers, seconds, warmUpSeconds }: ClosedLoopOptions) => {
    const numbers = [callers, size, Math.ceil(seconds), warmUpSeconds].map(String);
    const { stdout } = await execute(program, ['load', address, topic, ...numbers]);
    return JSON.parse(stdout) as ClosedLoopResult;
  };
}

interface ClientPackage {
  readonly rustmq: { readonly client: Readonly<Record<'ProducerService', ServiceClientConstructor>> };
}
type ProduceMethod = (request: object, done: (error: Error | null, answer: Record<string, unknown>) => void) => void;

function openGrpcJs({ address }: UnarySpec, stack: AsyncDisposableStack): (topic: string, workload: Workload) => Call {
  const options = { enums: String, longs: Number, defaults: true };
  const definition = loadFileDescriptorSetFromBuffer(readFileSync(image), options);
  const { client } = (loadPackageDefinition(definition) as unknown as ClientPackage).rustmq;
  const stub: GrpcClient = new client.ProducerService(address, credentials.createInsecure());
  stack.defer(() => stub.close());
  const produce = (stub as unknown as Readonly<Record<'Produce', ProduceMethod>>).Produce.bind(stub);
  return (topic, { acks }) => {
    const head = { topic_partition: { topic, partition: 0 }, acks: ackLevels[acks] };
    return (value) =>
      new Promise((resolve, reject) => {
        produce({ ...head, records: [{ value }] }, (error, answer) => {
          if (error !== null) reject(error);
          else if (answer['error_code'] !== 'OK') reject(new Error(String(answer['error_message'])));
          else resolve();
        });
      });
  };
}
