/** Memory that is given back while HTTP/2 still needs it would show as damaged, missing or mixed messages. */
import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { createSniffingServer } from '../rpc-server-listener.ts';
import { makeTestCertificate } from '../tls-fixture.ts';
import { createLaneTransport, type LaneTransport } from './client.ts';
import { bidiMethod, unaryMethod } from './lane-fixture.ts';
import { rawBidi, rawUnary } from './raw.ts';
import { createLane } from './server.ts';

const ca = makeTestCertificate({ commonName: 'test CA' });
const node = makeTestCertificate({ commonName: 'node', issuer: ca });

async function startEcho(isTls: boolean) {
  const lane = createLane({
    routes: [
      rawUnary(unaryMethod, async (request) => request),
      rawBidi(bidiMethod, async function* (requests) {
        for await (const request of requests) yield request;
      }),
    ],
  });
  const tls = isTls ? { tls: { cert: node.cert, key: node.key, ca: ca.cert } } : {};
  const server = createSniffingServer((_request, response) => response.end(), { lane, ...tls });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const url = `${isTls ? 'https' : 'http'}://127.0.0.1:${port}`;
  return { url, [Symbol.asyncDispose]: () => server.drain(0) };
}

/** Sizes around those of frames, slabs and what is copied, in an order that is always the same. */
function* sizes(seed: number, count: number): Generator<number> {
  const around = [0, 1, 100, 1_024, 8_192, 16_379, 16_384, 65_536, 300_000];
  let state = seed;
  for (let i = 0; i < count; i++) {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    yield (around[state % around.length] as number) + (state % 7);
  }
}

/** Every byte says which message it is of, and where it stands. */
function message(tag: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = (tag * 31 + i) & 0xff;
  return bytes;
}

async function streamThere(client: LaneTransport, seed: number): Promise<void> {
  const call = client.rawBidi(bidiMethod);
  const reading = (async () => {
    let tag = seed;
    for (const length of sizes(seed, 150)) {
      const { value } = await call.responses.next();
      assert.ok(Buffer.from(value as Uint8Array).equals(message(tag++, length)), `stream ${seed}, message ${tag}`);
    }
  })();
  let tag = seed;
  for (const length of sizes(seed, 150)) if (!call.send(message(tag++, length))) await call.drained();
  await reading;
  call.end();
  assert.equal((await call.responses.next()).done, true);
}

async function callThere(client: LaneTransport, seed: number): Promise<void> {
  let tag = seed;
  for (const length of sizes(seed, 100)) {
    const sent = message(tag++, length);
    assert.ok(Buffer.from(await client.rawUnary(unaryMethod, sent)).equals(sent), `calls ${seed}, message ${tag}`);
  }
}

for (const isTls of [false, true]) {
  test(`streams and calls that share a connection get their own bytes${isTls ? ', over TLS' : ''}`, async (t) => {
    const givenBack = t.mock.method(ArrayBuffer.prototype, 'transfer');
    await using server = await startEcho(isTls);
    await using client = createLaneTransport({ baseUrl: server.url, ...(isTls ? { tls: { ca: ca.cert } } : {}) });
    const work = [1, 2, 3].flatMap((seed) => [streamThere(client, seed), callThere(client, seed + 10)]);
    await Promise.all(work);
    // Or nothing was put to the test.
    assert.ok(givenBack.mock.callCount() > 100, `${givenBack.mock.callCount()} slabs were given back`);
  });
}
