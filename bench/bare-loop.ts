/**
 * The client half of the ceiling: produces records in groups with a promise each and at most eight groups in flight, then
 * reads all of them back and cuts them into records. Every figure of the benchmark is quoted as a ratio to this.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http2 from 'node:http2';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { varintSize, writeVarint } from '@fleetmq/shared';

const groupBytes = 256 << 10;
const groupsInFlightMax = 8;

export interface Rates {
  readonly producePerSecond: number;
  readonly consumePerSecond: number;
}

interface BareServer extends AsyncDisposable {
  readonly port: number;
}

async function startServer(folder: string): Promise<BareServer> {
  const program = fileURLToPath(new URL('./bare-server.ts', import.meta.url));
  const child = spawn(process.execPath, [program, join(folder, 'bare-loop.log')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return {
    port: Number(line.toString()),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

/** Produces `count` records of `size` bytes and reads them back; records per second both ways. */
export async function runBareLoop(folder: string, size: number, count: number): Promise<Rates> {
  await using server = await startServer(folder);
  const session = http2.connect(`http://127.0.0.1:${server.port}`, {
    settings: { initialWindowSize: 16 << 20, maxFrameSize: 1 << 20 },
  });
  await once(session, 'connect');
  session.setLocalWindowSize(64 << 20);
  try {
    const producePerSecond = count / (await produce(session, size, count));
    const consumePerSecond = count / (await consume(session, count));
    return { producePerSecond, consumePerSecond };
  } finally {
    session.destroy();
  }
}

async function produce(session: http2.ClientHttp2Session, size: number, count: number): Promise<number> {
  const stream = session.request({ ':method': 'POST', ':path': '/produce' }, { endStream: false });
  const value = Buffer.alloc(size, 97);
  const waiting: (() => void)[][] = [];
  let acknowledged = 0;
  let answered = 0;
  let wake: (() => void) | undefined;
  const { promise: finished, resolve: finish } = Promise.withResolvers<void>();
  stream.on('data', (chunk: Buffer) => {
    for (answered += chunk.length; answered >= 7; answered -= 7) {
      const settled = waiting.shift() ?? [];
      for (const settle of settled) settle();
      acknowledged += settled.length;
      wake?.();
      if (acknowledged === count) finish();
    }
  });
  let group = Buffer.allocUnsafe(groupBytes + size + 64);
  let used = 5;
  let settlers: (() => void)[] = [];
  const flush = (): void => {
    group.writeUInt8(0, 0);
    group.writeUInt32BE(used - 5, 1);
    stream.write(group.subarray(0, used));
    waiting.push(settlers);
    settlers = [];
    group = Buffer.allocUnsafe(groupBytes + size + 64);
    used = 5;
  };
  const append = (): Promise<void> =>
    new Promise((settle) => {
      group[used++] = 0x3a;
      used = writeVarint(group, used, 1 + varintSize(size) + size);
      group[used++] = 0x12;
      used = writeVarint(group, used, size);
      used += value.copy(group, used);
      settlers.push(settle);
      if (used >= groupBytes) flush();
    });
  const start = performance.now();
  for (let i = 0; i < count; i++) {
    void append();
    while (waiting.length > groupsInFlightMax) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }
  if (settlers.length > 0) flush();
  await finished;
  stream.close();
  return (performance.now() - start) / 1000;
}

async function consume(session: http2.ClientHttp2Session, count: number): Promise<number> {
  const start = performance.now();
  const stream = session.request({ ':method': 'POST', ':path': '/consume' });
  let rest: Buffer = Buffer.alloc(0);
  let records = 0;
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    const data = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    let at = 0;
    for (;;) {
      const record = readRecord(data, at);
      if (record === undefined) break;
      records++;
      bytes += record.value.length;
      at = record.end;
    }
    rest = data.subarray(at);
  });
  await once(stream, 'end');
  if (records !== count) throw new Error(`the bare loop read ${records} of ${count} records, ${bytes} bytes`);
  return (performance.now() - start) / 1000;
}

function readRecord(data: Buffer, start: number): { value: Buffer; end: number } | undefined {
  let at = start + 1;
  let length = 0;
  for (let shift = 0; ; shift += 7) {
    if (at >= data.length) return undefined;
    const byte = data[at++] as number;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  if (at + length > data.length) return undefined;
  let value = at + 1;
  while ((data[value++] as number) >= 0x80);
  return { value: data.subarray(value, at + length), end: at + length };
}
