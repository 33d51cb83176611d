/**
 * Floods of what costs a caller nothing: streams opened and reset (CVE-2023-44487), streams that the server is made to reset
 * (CVE-2025-8671), PING, SETTINGS, empty DATA, CONTINUATION without end (CVE-2024-27316 and its like). A connection that goes
 * on with it is closed with GOAWAY; what stays below the limits is borne.
 */
import { flag, frame, frameType, grpcHeaders, RawHttp2, settings, uint32 } from './raw-http2.ts';
import { type HostileOrder, paced, Tally, within } from './tally.ts';

/** Streams opened and reset at each door. */
const resetStreams = 10_000;
const cancel = uint32(8);
const path = '/rustmq.client.ProducerService/ProduceBatch';
/** With the rest of a flood still unread, the GOAWAY may be lost to a TCP reset; nghttp2's own limit says INTERNAL_ERROR. */
const calm = ['GOAWAY ENHANCE_YOUR_CALM', 'GOAWAY INTERNAL_ERROR', 'closed'];

/** All of them on one connection, and a new one as soon as it is closed. */
export async function resetsOnOneConnection(order: HostileOrder): Promise<Tally> {
  const tally = new Tally();
  await eachDoor(order, async (door, address) => {
    let connection = await RawHttp2.open(address);
    let closings = 0;
    const flood = { perSecond: resetStreams / 100 / order.seconds, seconds: order.seconds, underWayMax: 1 };
    await paced(flood, async (index) => {
      if (!connection.isOpen) {
        closings++;
        await within(connection.closed, 1_000);
        tally.expect(`${door}: a flood of resets`, connection.ending, calm);
        connection.destroy();
        connection = await RawHttp2.open(address);
      }
      for (let i = 0; i < 100; i++) (index % 2 === 0 ? openAndReset : provokeReset)(connection);
      tally.act(100);
    });
    if (closings === 0) tally.complain(`${door}: resets without end were borne`);
    connection.destroy();
  });
  return tally;
}

/** So many connections that each of them stays below the limit: nobody is cut off, and nobody else may notice. */
export async function resetsOnManyConnections(order: HostileOrder): Promise<Tally> {
  const tally = new Tally();
  await eachDoor(order, async (door, address) => {
    const all = await Promise.all(Array.from({ length: 20 }, () => RawHttp2.open(address)));
    await paced({ perSecond: resetStreams / order.seconds, seconds: order.seconds }, (index) => {
      openAndReset(all[index % all.length] as RawHttp2);
      tally.act();
    });
    for (const connection of all) {
      tally.expect(`${door}: 500 resets`, connection.isOpen ? 'connection kept' : connection.ending, [
        'connection kept',
      ]);
      connection.destroy();
    }
  });
  return tally;
}

function openAndReset(connection: RawHttp2): void {
  const id = connection.nextStreamId();
  connection.write(
    frame(frameType.headers, flag.endHeaders, id, grpcHeaders(path)),
    frame(frameType.reset, 0, id, cancel),
  );
}

/** A body that is longer than its content-length is an error of the stream: the server has to reset it. */
function provokeReset(connection: RawHttp2): void {
  const id = connection.nextStreamId();
  connection.write(
    frame(frameType.headers, flag.endHeaders, id, grpcHeaders(path, { 'content-length': '1' })),
    frame(frameType.data, 0, id, Buffer.alloc(3)),
  );
}

interface Flood {
  readonly what: string;
  readonly perSecond: number;
  readonly endings: readonly string[];
  readonly begin?: (connection: RawHttp2) => void;
  readonly frame: (connection: RawHttp2) => Buffer;
}

const openStream = (connection: RawHttp2, flags: number): void => {
  const id = connection.nextStreamId();
  if ((flags & flag.endHeaders) === 0) connection.acksSettings = false;
  connection.write(frame(frameType.headers, flags, id, grpcHeaders('/rustmq.client.ProducerService/ProduceStream')));
};

const floods: readonly Flood[] = [
  { what: 'PING', perSecond: 4_000, endings: calm, frame: () => frame(frameType.ping, 0, 0, Buffer.alloc(8)) },
  { what: 'SETTINGS', perSecond: 1_000, endings: calm, frame: () => settings(4, 65_535) },
  {
    what: 'empty DATA',
    perSecond: 1_000,
    endings: ['closed', 'GOAWAY INTERNAL_ERROR', 'GOAWAY PROTOCOL_ERROR', 'GOAWAY ENHANCE_YOUR_CALM'],
    begin: (connection) => openStream(connection, flag.endHeaders),
    frame: () => frame(frameType.data, 0, 1),
  },
  {
    what: 'CONTINUATION',
    perSecond: 1_000,
    endings: ['closed', 'GOAWAY INTERNAL_ERROR', 'GOAWAY PROTOCOL_ERROR', 'GOAWAY ENHANCE_YOUR_CALM'],
    begin: (connection) => openStream(connection, 0),
    frame: () => frame(frameType.continuation, 0, 1, Buffer.from([0, 1, 0x78, 1, 0x79])),
  },
];

export async function frameFloods(order: HostileOrder): Promise<Tally> {
  const tally = new Tally();
  const each = floods.map((flood) => eachDoor(order, (door, address) => runFlood(tally, flood, door, address, order)));
  await Promise.all(each);
  return tally;
}

async function runFlood(
  tally: Tally,
  flood: Flood,
  door: string,
  address: string,
  { seconds }: HostileOrder,
): Promise<void> {
  const open = async (): Promise<RawHttp2> => {
    const connection = await RawHttp2.open(address);
    flood.begin?.(connection);
    return connection;
  };
  let connection = await open();
  let isBorne = true;
  await paced({ perSecond: flood.perSecond / 20, seconds, underWayMax: 1 }, async () => {
    if (connection.isOpen) {
      connection.write(...Array.from({ length: 20 }, () => flood.frame(connection)));
      tally.act(20);
      return;
    }
    isBorne = false;
    await within(connection.closed, 1_000);
    tally.expect(`${door}: a flood of ${flood.what}`, connection.ending, flood.endings);
    connection.destroy();
    connection = await open();
  });
  if (isBorne) tally.complain(`${door}: a flood of ${flood.what} was borne`);
  connection.destroy();
}

async function eachDoor({ doors }: HostileOrder, run: (door: string, address: string) => Promise<void>): Promise<void> {
  await Promise.all(Object.entries(doors).map(([door, address]) => run(door, address)));
}
