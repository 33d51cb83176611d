/**
 * The client half of the ceiling: produces records in groups with a promise each and at most eight groups in flight, then
 * reads all of them back and cuts them into records. Every figure of the benchmark is quoted as a ratio to this.
 */
import { once } from 'node:events';
import http2 from 'node:http2';
import { varintSize, writeVarint } from '@fleetmq/shared';
import { valuesOf } from '../workload.ts';
import type { Driver, Job, Publisher, See } from './driver.ts';

const groupBytes = 256 << 10;
const groupsInFlightMax = 8;
const answerBytes = 7;

export async function openBareLoop({ port }: { readonly port: number }): Promise<Driver> {
  const session = http2.connect(`http://127.0.0.1:${port}`, {
    settings: { initialWindowSize: 16 << 20, maxFrameSize: 1 << 20 },
  });
  await once(session, 'connect');
  session.setLocalWindowSize(64 << 20);
  return {
    createTopic: async () => {},
    async deleteTopic(topic) {
      await once(request(session, `/delete/${topic}`).resume(), 'end');
    },
    produce: (job) => produce(session, job),
    consume: (job, see) => consume(session, job, see),
    publish: async (topic, { size }) => publish(session, topic, size),
    async subscribe(topic, _, see) {
      const stream = request(session, `/tail/${topic}`);
      readRecords(stream, see);
      await once(stream, 'response');
      return {
        async [Symbol.asyncDispose]() {
          stream.close();
        },
      };
    },
    async [Symbol.asyncDispose]() {
      session.destroy();
    },
  };
}

function request(session: http2.ClientHttp2Session, path: string): http2.ClientHttp2Stream {
  return session.request({ ':method': 'POST', ':path': path }, { endStream: !path.startsWith('/produce') });
}

/** Groups that were sent and those who wait for their answers, in order. */
class Groups {
  readonly #stream: http2.ClientHttp2Stream;
  readonly #room: number;
  readonly #waiting: (() => void)[][] = [];
  acknowledged = 0;
  #group: Buffer;
  #used = 5;
  #settlers: (() => void)[] = [];
  #wake: (() => void) | undefined;

  constructor(session: http2.ClientHttp2Session, topic: string, size: number) {
    this.#room = groupBytes + size + 64;
    this.#group = Buffer.allocUnsafe(this.#room);
    this.#stream = request(session, `/produce/${topic}`);
    let answered = 0;
    this.#stream.on('data', (chunk: Buffer) => {
      for (answered += chunk.length; answered >= answerBytes; answered -= answerBytes) {
        const settled = this.#waiting.shift() ?? [];
        for (const settle of settled) settle();
        this.acknowledged += settled.length;
        this.#wake?.();
      }
    });
  }

  append(value: Buffer): Promise<void> {
    return new Promise((settle) => {
      const { length } = value;
      this.#group[this.#used++] = 0x3a;
      this.#used = writeVarint(this.#group, this.#used, 1 + varintSize(length) + length);
      this.#group[this.#used++] = 0x12;
      this.#used = writeVarint(this.#group, this.#used, length);
      this.#used += value.copy(this.#group, this.#used);
      this.#settlers.push(settle);
      if (this.#used >= groupBytes) this.flush();
    });
  }

  flush(): void {
    if (this.#settlers.length === 0) return;
    this.#group.writeUInt8(0, 0);
    this.#group.writeUInt32BE(this.#used - 5, 1);
    this.#stream.write(this.#group.subarray(0, this.#used));
    this.#waiting.push(this.#settlers);
    this.#settlers = [];
    this.#group = Buffer.allocUnsafe(this.#room);
    this.#used = 5;
  }

  get isFull(): boolean {
    return this.#waiting.length > groupsInFlightMax;
  }

  /** Resolves with the next answer. */
  answered(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Resolves when everything is answered. */
  async close(): Promise<void> {
    this.flush();
    while (this.#waiting.length > 0) await this.answered();
    this.#stream.close();
  }
}

async function produce(session: http2.ClientHttp2Session, { topic, workload, count, begin }: Job): Promise<void> {
  const values = valuesOf(workload);
  const groups = new Groups(session, topic, workload.size);
  begin();
  for (let i = 0; i < count; i++) {
    void groups.append(values[i & (values.length - 1)] as Buffer);
    while (groups.isFull) await groups.answered();
  }
  await groups.close();
  if (groups.acknowledged !== count) throw new Error(`${groups.acknowledged} of ${count} records were acknowledged`);
}

/** Records that come in one turn of the event loop share a group. */
function publish(session: http2.ClientHttp2Session, topic: string, size: number): Publisher {
  const groups = new Groups(session, topic, size);
  let isFlushing = false;
  return {
    send(value) {
      void groups.append(value);
      if (isFlushing) return;
      isFlushing = true;
      setImmediate(() => {
        isFlushing = false;
        groups.flush();
      });
    },
    close: () => groups.close(),
  };
}

async function consume(session: http2.ClientHttp2Session, { topic, begin }: Job, see: See): Promise<void> {
  begin();
  const stream = request(session, `/consume/${topic}`);
  readRecords(stream, see);
  await once(stream, 'end');
}

/** Cuts what comes into records, whose values are views of it. */
function readRecords(stream: http2.ClientHttp2Stream, see: See): void {
  let rest: Buffer = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    const data = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    let at = 0;
    for (;;) {
      const record = readRecord(data, at);
      if (record === undefined) break;
      see(record.value);
      at = record.end;
    }
    rest = data.subarray(at);
  });
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
