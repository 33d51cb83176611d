import assert from 'node:assert/strict';
import * as net from 'node:net';
import { test } from 'node:test';
import { isDomainError } from '@fleetmq/shared';
import fc from 'fast-check';
import { createLaneTransport } from './client.ts';
import { bidiMethod, bytesOf, type FixtureHandlers, startLane, textOf, unaryMethod, until } from './lane-fixture.ts';

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, payload]);
}

/** HPACK without compression: a literal with a new name, or an indexed field of the static table. */
function literal(name: string, value: string): Buffer {
  return Buffer.concat([
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ]);
}

function requestHeaders(method: string, contentType: string): Buffer {
  const path = `/rustmq.streaming.StreamingService/${method}`;
  return Buffer.concat([
    Buffer.from([0x83, 0x86, 0x04, path.length]),
    Buffer.from(path),
    literal('content-type', contentType),
    literal('te', 'trailers'),
    literal('host', 'x'),
  ]);
}

/** Mostly sensible frames, so that streams get as far as a handler before something goes wrong. */
const streamId = fc.constantFrom(0, 1, 1, 1, 3, 3, 5, 2);
const uint32 = fc.integer({ min: 0, max: 0xffffffff }).map((value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
});
const commonFrames = [
  fc
    .tuple(fc.constantFrom(0, 1), streamId, fc.uint8Array({ maxLength: 20 }))
    .map(([flags, id, body]) => frame(0, flags, id, Buffer.concat([Buffer.from([0, 0, 0, 0, body.length]), body]))),
  fc
    .tuple(fc.constantFrom(0, 1, 8), streamId, fc.uint8Array({ maxLength: 20 }))
    .map(([f, id, body]) => frame(0, f, id, body)),
  fc.tuple(streamId, uint32).map(([id, code]) => frame(3, 0, id, code)),
  fc.tuple(streamId, fc.constantFrom(2, 8)).map(([id, code]) => frame(3, 0, id, Buffer.from([0, 0, 0, code]))),
  fc.tuple(streamId, uint32).map(([id, size]) => frame(8, 0, id, size)),
  fc.constantFrom(frame(4, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0])), frame(4, 1, 0, Buffer.alloc(0))),
  fc.constantFrom(frame(6, 0, 0, Buffer.alloc(8)), frame(7, 0, 0, Buffer.alloc(8))),
  fc
    .tuple(
      fc.integer({ min: 0, max: 12 }),
      fc.integer({ min: 0, max: 255 }),
      streamId,
      fc.uint8Array({ maxLength: 30 }),
    )
    .map(([type, flags, id, body]) => frame(type, flags, id, body)),
];
const anyRequestFrame = fc.oneof(
  fc
    .tuple(
      fc.constantFrom(4, 5, 5, 0),
      streamId,
      fc.constantFrom('UpdateQuery', 'Subscribe', 'BulkLoad', 'InteractiveQuery', 'Nothing'),
      fc.constantFrom('application/grpc', 'application/grpc', 'application/grpc-web', 'application/json'),
    )
    .map(([flags, id, method, type]) => frame(1, flags, id, requestHeaders(method, type))),
  ...commonFrames,
);

test('no sequence of HTTP/2 frames harms the process or leaves a call behind', async () => {
  // Some sequences make Node keep a session that neither reads nor writes: those are found by silence.
  const listener = { checkMs: 20, pingMs: 40, pingTimeoutMs: 40 };
  const handlers: FixtureHandlers = {
    unary: async (request) => request,
    serverStream: async function* (request) {
      for (let i = 0; i < 3; i++) yield request;
    },
    clientStream: async (requests) => {
      for await (const _ of requests);
      return bytesOf('done');
    },
    bidi: async function* (requests) {
      for await (const request of requests) yield request;
    },
  };
  await using server = await startLane(handlers, { listener });
  const send = (chunks: readonly Uint8Array[]): Promise<void> =>
    new Promise((resolve) => {
      const socket = net.connect(server.port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.on('close', () => resolve());
      socket.resume();
      for (const chunk of chunks) socket.write(chunk);
      setTimeout(() => socket.destroy(), 5);
    });
  const runs = Number(process.env['FUZZ_RUNS'] ?? 150);
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyRequestFrame, { minLength: 1, maxLength: 12 }),
      fc.boolean(),
      async (frames, inOneWrite) => {
        const all = [preface, frame(4, 0, 0, Buffer.alloc(0)), ...frames];
        await send(inOneWrite ? [Buffer.concat(all)] : all);
      },
    ),
    { numRuns: runs },
  );
  await until(() => server.lane.openCalls === 0, 'no call is left');
  await using client = createLaneTransport({ baseUrl: server.url });
  assert.equal(textOf(await client.rawUnary(unaryMethod, bytesOf('still here'))), 'still here');
});

const anyResponseFrame = fc.oneof(
  fc
    .tuple(
      fc.constantFrom(4, 4, 5, 0),
      streamId,
      fc.constantFrom(
        Buffer.concat([Buffer.from([0x88]), literal('content-type', 'application/grpc')]),
        Buffer.concat([Buffer.from([0x88]), literal('content-type', 'application/grpc'), literal('grpc-status', '14')]),
        literal('grpc-status', '0'),
        literal('grpc-status-details-bin', 'CAgSAg'),
        Buffer.from([0x8d]),
      ),
    )
    .map(([flags, id, block]) => frame(1, flags, id, block)),
  ...commonFrames,
);

test('no sequence of HTTP/2 frames harms a client: each call ends with an answer or a DomainError', async () => {
  let answer: readonly Uint8Array[] = [];
  await using server = net.createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => {
      for (const bytes of answer) socket.write(bytes);
      setTimeout(() => socket.destroy(), 5);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const baseUrl = `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`;
  const runs = Number(process.env['FUZZ_RUNS'] ?? 150);
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyResponseFrame, { minLength: 1, maxLength: 12 }),
      fc.boolean(),
      async (frames, inOneWrite) => {
        const all = [frame(4, 0, 0, Buffer.alloc(0)), ...frames];
        answer = inOneWrite ? [Buffer.concat(all)] : all;
        await using client = createLaneTransport({ baseUrl });
        const bidi = client.rawBidi(bidiMethod, { timeoutMs: 1_000 });
        const calls = [client.rawUnary(unaryMethod, bytesOf('x'), { timeoutMs: 1_000 }), drain(bidi.responses)];
        for (const result of await Promise.allSettled(calls)) {
          assert.ok(result.status === 'fulfilled' || isDomainError(result.reason), String(Object.values(result)[1]));
        }
        assert.equal(client.openCalls, 0);
      },
    ),
    { numRuns: runs },
  );
});

async function drain(messages: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of messages);
}
