/**
 * Callers that are slow on purpose. Readers open subscriptions and take nothing, or a byte per second; writers send a byte at
 * a time, or begin with headers that never end. None of them may keep memory or a place for longer than the limits say: a
 * reader loses its stream with ENHANCE_YOUR_CALM, a writer its call or its connection.
 */
import net from 'node:net';
import { create, toBinary } from '@bufbuild/protobuf';
import { FetchRequestSchema, SubscribeRequestSchema } from '@fleetmq/gen/client/consumer';
import { flag, frame, frameType, grpcFrame, grpcHeaders, RawHttp2, settings, uint32 } from './raw-http2.ts';
import { type HostileOrder, paced, Tally, within } from './tally.ts';

/** Of each door and kind. */
const connections = 4;
const streamsPerConnection = 25;
const farDeadline = { 'grpc-timeout': '10M' };
/** The test sets `limits.stall-ms` to so much; a busy machine may be late. */
const [stallMs, graceMs] = [2_000, 1_500];
/** Each connection opens a stream per tick until it has all of them; half of the readers take a byte per second. */
const ticksPerSecond = 20;

export async function slowReaders({ doors, topic, seconds }: HostileOrder): Promise<Tally> {
  const tally = new Tally();
  const partitions = [{ topicPartition: { topic, partition: 0 } }];
  const subscribe = toBinary(SubscribeRequestSchema, create(SubscribeRequestSchema, { partitions }));
  await eachConnection(doors, async (door, address, number) => {
    const connection = await RawHttp2.open(address);
    const open = new Set<number>();
    /** When the first bytes of an answer came: who waits for its turn holds nothing, and may wait. */
    const answeredMs = new Map<number, number>();
    connection.onHeaders = (id) => answeredMs.set(id, performance.now());
    const path = '/rustmq.client.ConsumerService/Subscribe';
    connection.onReset = (id, code) => {
      open.delete(id);
      tally.expect(`${door}: a reader that does not read`, `RST ${code}`, ['RST ENHANCE_YOUR_CALM']);
    };
    const isTrickle = number % 2 === 1;
    await paced({ perSecond: ticksPerSecond, seconds }, (tick) => {
      if (tick < streamsPerConnection) {
        open.add(call(connection, path, subscribe));
        tally.act();
      }
      if (!isTrickle || tick % ticksPerSecond !== 0) return;
      for (const id of open) connection.write(frame(frameType.window, 0, id, uint32(1)));
    });
    const kept = [...open].filter((id) => performance.now() - (answeredMs.get(id) ?? Infinity) > stallMs + graceMs);
    if (kept.length > 0) tally.complain(`${door}: ${kept.length} readers that do not read still have their streams`);
    connection.destroy();
  });
  return tally;
}

export async function slowWriters(order: HostileOrder): Promise<Tally> {
  const tally = new Tally();
  await eachConnection(order.doors, async (door, address, number) => {
    if (number === 0) await endlessHeaders(tally, door, address, order.seconds);
    else if (number === 1) await endlessHttp1Headers(tally, door, address, order.seconds);
    else await dribble(tally, door, address, order.seconds);
  });
  return tally;
}

/** Bodies of ProduceBatch, ten bytes per second each. Half of the callers name a deadline far away. */
async function dribble(tally: Tally, door: string, address: string, seconds: number): Promise<void> {
  const connection = await RawHttp2.open(address);
  const open = new Set<number>();
  connection.onHeaders = (id, isLast) => {
    if (isLast && open.delete(id)) tally.note('answered');
  };
  connection.onReset = (id, code) => {
    if (open.delete(id)) tally.expect(`${door}: a slow writer`, `RST ${code}`, ['RST NO_ERROR', 'RST CANCEL']);
  };
  for (let i = 0; i < streamsPerConnection; i++) {
    const id = connection.nextStreamId();
    const headers = grpcHeaders('/rustmq.client.ProducerService/ProduceBatch', i % 2 === 0 ? {} : farDeadline);
    connection.write(frame(frameType.headers, flag.endHeaders, id, headers));
    connection.write(frame(frameType.data, 0, id, Buffer.from([0, 0, 0, 4, 0])));
    open.add(id);
  }
  tally.act(open.size);
  await paced({ perSecond: 10, seconds }, () => {
    connection.write(...[...open].map((id) => frame(frameType.data, 0, id, Buffer.from([0x0a]))));
  });
  if (open.size > 0) tally.complain(`${door}: ${open.size} slow writers still have their streams`);
  connection.destroy();
}

/** HEADERS without END_HEADERS, and nothing after them. */
async function endlessHeaders(tally: Tally, door: string, address: string, seconds: number): Promise<void> {
  const all = await Promise.all(Array.from({ length: streamsPerConnection }, () => RawHttp2.open(address)));
  tally.act(all.length);
  for (const connection of all) {
    connection.acksSettings = false;
    connection.write(frame(frameType.headers, 0, 1, grpcHeaders('/x').subarray(0, 20)));
  }
  await Promise.all(
    all.map(async (connection) => {
      await within(connection.closed, seconds * 1_000);
      const answer = connection.isOpen ? 'kept' : connection.ending;
      tally.expect(`${door}: headers that never end`, answer, ['closed', 'GOAWAY NO_ERROR']);
      connection.destroy();
    }),
  );
}

async function endlessHttp1Headers(tally: Tally, door: string, address: string, seconds: number): Promise<void> {
  const { hostname, port } = new URL(`http://${address}`);
  const sockets = Array.from({ length: streamsPerConnection }, () => {
    const socket = net.connect(Number(port), hostname);
    socket.on('error', () => socket.destroy());
    socket.write('POST /x HTTP/1.1\r\nhost: x\r\nx-slow: ');
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
    });
    const closed = new Promise<string>((resolve) => socket.once('close', () => resolve(answer.slice(9, 12))));
    return { socket, closed };
  });
  tally.act(sockets.length);
  await paced({ perSecond: 10, seconds }, () => {
    for (const { socket } of sockets) if (socket.writable) socket.write('a');
  });
  for (const { socket, closed } of sockets) {
    socket.end();
    tally.expect(`${door}: HTTP/1.1 headers that never end`, (await within(closed, 1_000)) ?? 'kept', ['408']);
    socket.destroy();
  }
}

/** Per connection: 80 MB a second from all of them, none of which is ever taken. */
const fetchesPerSecond = 10;
/** Given up, too late, answered without having heard all, or lost with its connection. */
const resetCodes = ['RST ENHANCE_YOUR_CALM', 'RST CANCEL', 'RST NO_ERROR', 'RST INTERNAL_ERROR'];

/**
 * Windows that are never opened: Fetches of a megabyte whose answers cannot leave, as many at a time as there may be streams. Half of the callers name a deadline of ten minutes.
 */
export async function closedWindows({ doors, topic, seconds }: HostileOrder): Promise<Tally> {
  const tally = new Tally();
  const partitions = [{ topicPartition: { topic, partition: 0 }, fetchOffset: 0n }];
  const fetch = toBinary(
    FetchRequestSchema,
    create(FetchRequestSchema, { partitions, maxBytes: 1024 * 1024, acceptedCodecs: [1, 2, 3] }),
  );
  await eachConnection(doors, async (door, address, number) => {
    const connection = await RawHttp2.open(address, settings(4, 0));
    const open = new Set<number>();
    const headers = number % 2 === 0 ? {} : farDeadline;
    connection.onReset = (id, code) => {
      open.delete(id);
      tally.expect(`${door}: a closed window`, `RST ${code}`, resetCodes);
    };
    connection.onHeaders = (id, isLast) => {
      if (isLast && open.delete(id)) tally.note('refused with a status');
    };
    await paced({ perSecond: fetchesPerSecond, seconds }, () => {
      if (open.size >= streamsPerConnection || !connection.isOpen) return;
      open.add(call(connection, '/rustmq.client.ConsumerService/Fetch', fetch, headers));
      tally.act();
    });
    tally.note(connection.isOpen ? 'connection kept' : connection.ending);
    connection.destroy();
  });
  return tally;
}

function call(connection: RawHttp2, path: string, message: Uint8Array, more = {}): number {
  const id = connection.nextStreamId();
  connection.write(
    frame(frameType.headers, flag.endHeaders, id, grpcHeaders(path, more)),
    frame(frameType.data, flag.endStream, id, grpcFrame(message)),
  );
  return id;
}

async function eachConnection(
  doors: HostileOrder['doors'],
  run: (door: string, address: string, number: number) => Promise<void>,
): Promise<void> {
  const runs = Object.entries(doors).flatMap(([door, address]) =>
    Array.from({ length: connections }, (_, number) => run(door, address, number)),
  );
  await Promise.all(runs);
}
