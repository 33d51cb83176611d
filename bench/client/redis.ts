/**
 * Redis Streams through either of its two clients, with explicit pipelines: XADD one by one pays a promise and a socket write
 * per record. A pipeline is answered when all of its commands are; with appendfsync always that is after the fsync.
 */

import { valuesOf } from '../workload.ts';
import type { Driver, Job, PeerSpec, Publisher, See } from './driver.ts';
import { loadForeign, recordsPerRequest, Window } from './foreign-module.ts';

type Command = readonly (string | Buffer)[];
type RedisSpec = Extract<PeerSpec, { kind: 'redis' | 'ioredis' }>;
/** Entries of XRANGE: an id, and fields with their values in turn. */
type Entry = readonly [id: Buffer, fields: readonly Buffer[]];

/** What is needed of both clients. Answers hold buffers. */
interface Connection {
  one(command: Command): Promise<unknown>;
  pipeline(commands: readonly Command[]): Promise<unknown>;
  close(): void;
}

interface NodeRedis {
  createClient(options: object): NodeRedisClient;
  readonly RESP_TYPES: { readonly BLOB_STRING: number };
}
interface NodeRedisClient {
  on(event: 'error', listener: () => void): void;
  connect(): Promise<unknown>;
  withTypeMapping(mapping: object): NodeRedisClient;
  sendCommand(command: Command): Promise<unknown>;
  multi(): { addCommand(command: Command): void; execAsPipeline(): Promise<unknown> };
  destroy(): void;
}
type IoRedis = new (
  options: object,
) => {
  callBuffer(name: string, parameters: Command): Promise<unknown>;
  pipeline(commands: readonly Command[]): { exec(): Promise<readonly (readonly [Error | null, unknown])[]> };
  disconnect(): void;
};

const pipelinesInFlight = 8;
const commandsPerPipeline = 1_000;

export async function openRedis(spec: RedisSpec): Promise<Driver> {
  const connection = await open(spec);
  return {
    createTopic: async () => {},
    deleteTopic: async (topic) => void (await connection.one(['UNLINK', topic])),
    produce: (job) => produce(connection, job),
    consume: (job, see) => consume(connection, job, see),
    publish: async (topic) => publish(connection, topic),
    subscribe: (topic, _, see) => subscribe(spec, topic, see),
    async [Symbol.asyncDispose]() {
      connection.close();
    },
  };
}

/** RESP 2: answers of XREAD have the same shape in both clients. */
async function open({ kind, modules, port }: RedisSpec): Promise<Connection> {
  if (kind === 'ioredis') {
    const { Redis } = loadForeign<{ Redis: IoRedis }>(modules, 'ioredis');
    const client = new Redis({ port, host: '127.0.0.1', protocol: 2 });
    return {
      one: ([name, ...parameters]) => client.callBuffer(String(name), parameters),
      async pipeline(commands) {
        for (const [error] of await client.pipeline(commands).exec()) if (error !== null) throw error;
      },
      close: () => client.disconnect(),
    };
  }
  const { createClient, RESP_TYPES } = loadForeign<NodeRedis>(modules, 'redis');
  const client = createClient({ RESP: 2, socket: { port, host: '127.0.0.1' } });
  client.on('error', () => {}); // The call that it concerns is rejected.
  await client.connect();
  const binary = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  return {
    one: (command) => binary.sendCommand(command),
    pipeline(commands) {
      const multi = client.multi();
      for (const command of commands) multi.addCommand(command);
      return multi.execAsPipeline();
    },
    close: () => client.destroy(),
  };
}

async function produce(connection: Connection, { topic, workload, count, begin }: Job): Promise<void> {
  const values = valuesOf(workload);
  const perPipeline = recordsPerRequest(workload.size, commandsPerPipeline);
  const window = new Window(pipelinesInFlight);
  begin();
  for (let at = 0; at < count; at += perPipeline) {
    const commands: Command[] = [];
    for (let i = at; i < Math.min(count, at + perPipeline); i++)
      commands.push(add(topic, values[i & (values.length - 1)] as Buffer));
    if (window.isFull) await window.room();
    window.add(connection.pipeline(commands));
  }
  await window.empty();
}

/** In small letters: the pipeline of ioredis takes the names of its own methods. */
function add(topic: string, value: Buffer): Command {
  return ['xadd', topic, '*', 'v', value];
}

async function consume(connection: Connection, { topic, workload, count, begin }: Job, see: See): Promise<void> {
  const perRequest = String(4 * recordsPerRequest(workload.size, 1_000));
  begin();
  let from: string | Buffer = '-';
  for (let seen = 0; seen < count; ) {
    const entries = (await connection.one(['XRANGE', topic, from, '+', 'COUNT', perRequest])) as readonly Entry[];
    if (entries.length === 0) throw new Error(`the stream ends after ${seen} records`);
    for (const [, [, value]] of entries) see(value as Buffer);
    seen += entries.length;
    from = `(${(entries.at(-1) as Entry)[0].toString()}`;
  }
}

function publish(connection: Connection, topic: string): Publisher {
  const window = new Window(Number.POSITIVE_INFINITY);
  return {
    send: (value) => window.add(connection.one(add(topic, value))),
    close: () => window.empty(),
  };
}

/** A blocking read needs a connection of its own. */
async function subscribe(spec: RedisSpec, topic: string, see: See): Promise<AsyncDisposable> {
  const connection = await open(spec);
  let isClosed = false;
  const reading = (async () => {
    let from: string | Buffer = '0';
    while (!isClosed) {
      const answer = await connection.one(['XREAD', 'COUNT', '1000', 'BLOCK', '500', 'STREAMS', topic, from]);
      const [[, entries = []] = []] = (answer ?? []) as readonly (readonly [Buffer, readonly Entry[]])[];
      for (const [, [, value]] of entries) see(value as Buffer);
      from = entries.at(-1)?.[0] ?? from;
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      isClosed = true;
      await reading;
      connection.close();
    },
  };
}
