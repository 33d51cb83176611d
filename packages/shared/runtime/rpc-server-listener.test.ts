import assert from 'node:assert/strict';
import * as http2 from 'node:http2';
import * as net from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import fc from 'fast-check';
import { until } from './lane/lane-fixture.ts';
import type { ListenerLimits, NodeHandler } from './rpc-server-limits.ts';
import { createSniffingServer, type SniffingServer } from './rpc-server-listener.ts';

interface Fixture extends AsyncDisposable {
  readonly port: number;
  readonly server: SniffingServer;
}

const hello: NodeHandler = (request, response) => {
  request.resume();
  request.on('end', () => response.end(`${request.method} ${request.httpVersion}`));
};

async function start(limits: Partial<ListenerLimits> = {}, handler: NodeHandler = hello): Promise<Fixture> {
  const server = createSniffingServer(handler, { limits: { checkMs: 20, ...limits } });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as net.AddressInfo).port, server, [Symbol.asyncDispose]: () => server.drain(0) };
}

/** Writes the chunks one event loop turn apart and gives all that comes back until the peer closes. */
async function exchange(port: number, chunks: readonly (string | Uint8Array)[], end = false): Promise<string> {
  const socket = net.connect(port, '127.0.0.1');
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  socket.on('error', () => undefined);
  for (const chunk of chunks) {
    if (socket.destroyed) break;
    socket.write(chunk);
    await sleep(1);
  }
  if (end) socket.end();
  await closed;
  return text;
}

async function getOverHttp2(port: number): Promise<string> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  const stream = session.request({ ':path': '/' });
  let text = '';
  for await (const chunk of stream) text += chunk;
  session.close();
  return text;
}

async function assertServes({ port }: Fixture): Promise<void> {
  assert.equal(await getOverHttp2(port), 'GET 2.0');
  const text = await exchange(port, ['GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n']);
  assert.match(text, /^HTTP\/1\.1 200 OK[\s\S]*GET 1\.1/);
}

test('requests are told apart however their first bytes are cut', async () => {
  await using fixture = await start();
  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'PROPFIND', 'PRI']) {
    const request = `${method} / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`;
    const answer = await exchange(fixture.port, [...request]);
    if (method !== 'PRI') assert.ok(answer.includes('200 OK') && answer.endsWith(`${method} 1.1`), method);
    else assert.doesNotMatch(answer, /200 OK/);
  }
  await using proxy = net.createServer((socket) => {
    const upstream = net.connect(fixture.port, '127.0.0.1');
    socket.on('data', async (chunk) => {
      socket.pause();
      for (const byte of chunk) {
        upstream.write(Buffer.from([byte]));
        await sleep(0);
      }
      socket.resume();
    });
    upstream.pipe(socket);
    socket.on('close', () => upstream.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  assert.equal(await getOverHttp2((proxy.address() as net.AddressInfo).port), 'GET 2.0');
});

test('a client that says nothing, or half of anything, is closed in time', async () => {
  await using fixture = await start({ firstBytesMs: 60, requestTimeoutMs: 120 });
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
  const half: Record<string, string[]> = {
    nothing: [],
    'one letter': ['P'],
    'half a preface': [preface.slice(0, 10)],
    'a preface and no SETTINGS': [preface],
    'half a request line': ['GET / HT'],
    'half of the headers': ['GET / HTTP/1.1\r\nhost: x\r\nx-y: '],
    'half of a body': ['POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345'],
  };
  const answers = await Promise.all(Object.values(half).map((chunks) => exchange(fixture.port, chunks)));
  for (const [index, what] of Object.keys(half).entries()) {
    if (what.includes('headers') || what.includes('body')) assert.match(answers[index] as string, / 408 /, what);
  }
  await assertServes(fixture);
});

test('garbage closes the connection and nothing else', async () => {
  await using fixture = await start({ firstBytesMs: 500 });
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.uint8Array({ minLength: 1, maxLength: 200 }),
        fc
          .uint8Array({ maxLength: 200 })
          .map((bytes) => Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), bytes])),
        fc
          .uint8Array({ maxLength: 200 })
          .map((bytes) => Buffer.concat([Buffer.from('POST /x HTTP/1.1\r\nhost: '), bytes])),
      ),
      async (bytes) => {
        await exchange(fixture.port, [bytes], true);
      },
    ),
    { numRuns: 60 },
  );
  const clientHello = Buffer.from('16030100c5010000c10303', 'hex');
  assert.equal(await exchange(fixture.port, [clientHello]), '');
  await assertServes(fixture);
});

test('an address that makes no URL is answered with 400', async () => {
  const adapter = connectNodeAdapter({
    routes: () => undefined,
    fallback: (request) => void new URL('/', `http://${request.headers['host']}`),
  });
  await using fixture = await start({}, adapter as NodeHandler);
  const answer = await exchange(fixture.port, [
    'POST / HTTP/1.1\r\nhost: a b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n',
  ]);
  assert.match(answer, /^HTTP\/1\.1 400 /);
});

test('headers are bounded in both versions', async () => {
  await using fixture = await start();
  const answer = await exchange(fixture.port, [`GET / HTTP/1.1\r\nhost: x\r\nx-large: ${'y'.repeat(20_000)}\r\n\r\n`]);
  assert.match(answer, / 431 /);
  const session = http2.connect(`http://127.0.0.1:${fixture.port}`);
  session.on('error', () => undefined);
  const stream = session.request({ ':path': '/', 'x-large': 'y'.repeat(20_000) });
  const status = await new Promise((resolve) => {
    stream.on('response', (headers) => resolve(headers[':status']));
    stream.on('error', resolve);
  });
  assert.equal(status, 431);
  session.destroy();
  await assertServes(fixture);
});

test('connections are bounded in all and per address', async () => {
  for (const limits of [{ connectionsMax: 3 }, { connectionsPerAddressMax: 3 }]) {
    await using fixture = await start(limits);
    const sockets = Array.from({ length: 6 }, () => net.connect(fixture.port, '127.0.0.1'));
    let closed = 0;
    for (const socket of sockets) {
      socket.on('error', () => undefined);
      socket.on('close', () => closed++);
    }
    await until(() => closed === 3, 'what is above the bound is closed');
    for (const socket of sockets) socket.destroy();
    await until(() => closed === 6, 'all are closed');
    await until(() => fixture.server.listening, 'it still listens');
    await assertServes(fixture);
  }
});

test('too many resets cost the connection, whoever sends them', async () => {
  const resetting: NodeHandler = (request, response) => {
    if (request.url === '/reset' && 'stream' in request) request.stream.close(http2.constants.NGHTTP2_CANCEL);
    else hello(request, response);
  };
  await using fixture = await start({ resetsBurst: 50, resetsPerSecond: 1 }, resetting);
  for (const path of ['/', '/reset']) {
    const session = http2.connect(`http://127.0.0.1:${fixture.port}`);
    session.on('error', () => undefined);
    await new Promise((resolve) => session.once('remoteSettings', resolve));
    let opened = 0;
    while (!session.closed && !session.destroyed && opened < 5_000) {
      const streams = Array.from({ length: 20 }, () => session.request({ ':path': path, ':method': 'POST' }));
      opened += streams.length;
      for (const stream of streams) stream.on('error', () => undefined);
      await sleep(1);
      for (const stream of streams) stream.close(http2.constants.NGHTTP2_CANCEL);
    }
    assert.ok(opened < 5_000, `${path}: ${opened} streams were opened`);
    session.destroy();
  }
  await assertServes(fixture);
});

test('a stream that is reset with an error before it is seen harms nobody', async () => {
  await using fixture = await start();
  // Passes on what the client says in lumps, so that preface, request and reset are read at once.
  await using proxy = net.createServer((socket) => {
    const upstream = net.connect(fixture.port, '127.0.0.1');
    let lump: Buffer[] = [];
    socket.on('data', (chunk) => {
      if (lump.push(chunk) > 1) return;
      setTimeout(() => {
        upstream.write(Buffer.concat(lump));
        lump = [];
      }, 10);
    });
    upstream.pipe(socket);
    socket.on('close', () => upstream.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  for (let round = 0; round < 3; round++) {
    const session = http2.connect(`http://127.0.0.1:${(proxy.address() as net.AddressInfo).port}`);
    const stream = session.request({ ':path': '/', ':method': 'POST' });
    const failed = new Promise((resolve) => stream.on('error', resolve));
    await new Promise((resolve) => session.once('connect', resolve));
    await new Promise((resolve) => setImmediate(resolve));
    stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    await failed;
    await new Promise<void>((resolve) => session.ping(() => resolve()));
    session.destroy();
  }
  assert.equal(fixture.server.activeCalls, 0);
  await assertServes(fixture);
});

test('a connection without calls is closed when it has been idle', async () => {
  await using fixture = await start({ idleMs: 60 });
  const session = http2.connect(`http://127.0.0.1:${fixture.port}`);
  await new Promise((resolve) => session.once('close', resolve));
});

test('a client that vanishes under an open stream is found by PING; a silent one that answers is kept', async () => {
  await using fixture = await start({ pingMs: 40, pingTimeoutMs: 40 }, () => undefined);
  let muted = false;
  await using proxy = net.createServer((socket) => {
    const upstream = net.connect(fixture.port, '127.0.0.1');
    socket.on('data', (chunk) => muted || upstream.write(chunk));
    upstream.on('data', (chunk) => muted || socket.write(chunk));
    upstream.on('close', () => socket.destroy());
    socket.on('close', () => upstream.destroy());
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const session = http2.connect(`http://127.0.0.1:${(proxy.address() as net.AddressInfo).port}`);
  session.on('error', () => undefined);
  const stream = session.request({ ':path': '/' });
  stream.on('error', () => undefined);
  await until(() => fixture.server.activeCalls === 1, 'the call is open');
  await sleep(200);
  assert.equal(fixture.server.activeCalls, 1);
  muted = true;
  await until(() => fixture.server.activeCalls === 0, 'the call is gone');
  session.destroy();
});

test('a request body that never ends is cut, unless the request is a stream', async () => {
  const server = createSniffingServer(() => undefined, {
    limits: { requestTimeoutMs: 50 },
    isRequestStream: (path) => path === '/stream',
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const session = http2.connect(`http://127.0.0.1:${(server.address() as net.AddressInfo).port}`);
  session.on('error', () => undefined);
  const open = (path: string) => {
    const stream = session.request({ ':path': path, ':method': 'POST' });
    stream.on('error', () => undefined);
    stream.write('part');
    return stream;
  };
  const [unary, stream] = [open('/unary'), open('/stream')];
  await new Promise((resolve) => unary.once('close', resolve));
  assert.equal(stream.closed, false);
  session.destroy();
  await server.drain(0);
});

test('it closes as a net.Server does, so that a framework can own it', async () => {
  const { server, port } = await start();
  await assertServes({ server, port } as Fixture);
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  assert.equal(server.listening, false);
});
