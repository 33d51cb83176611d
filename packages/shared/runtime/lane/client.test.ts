import assert from 'node:assert/strict';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import * as net from 'node:net';
import { test } from 'node:test';
import { createClient } from '@connectrpc/connect';
import { StreamingService } from '@fleetmq/gen/streaming/stream';
import { DomainError, type ErrorName, isDomainError } from '@fleetmq/shared';
import { createLaneTransport } from './client.ts';
import {
  bidiMethod,
  bytesOf,
  failsWith,
  serverStreamMethod,
  startLane,
  textOf,
  unaryMethod,
  until,
} from './lane-fixture.ts';
import { answerOk, startHttp2, startPeer } from './peer-fixture.ts';

test('a peer that speaks no HTTP/2 costs the call and not the process', async () => {
  const answers: [string, (socket: net.Socket) => void][] = [
    ['HTTP/1.1', (socket) => socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n')],
    ['garbage', (socket) => socket.write(Buffer.alloc(1_000, 0xfe))],
    ['an early end', (socket) => socket.end()],
    ['a reset', (socket) => socket.resetAndDestroy()],
    ['half a frame', (socket) => socket.end(Buffer.from([0, 0, 6, 4, 0]))],
  ];
  for (const [what, answer] of answers) {
    await using peer = await startPeer(answer);
    await using client = createLaneTransport({ baseUrl: peer.url });
    await assert.rejects(client.rawUnary(unaryMethod, bytesOf('x')), failsWith('NOT_AVAILABLE'), what);
    await assert.rejects(
      client.rawServerStream(serverStreamMethod, bytesOf('x')).next(),
      failsWith('NOT_AVAILABLE'),
      what,
    );
    const bidi = client.rawBidi(bidiMethod);
    await assert.rejects(bidi.responses.next(), failsWith('NOT_AVAILABLE'), what);
    assert.throws(() => bidi.send(bytesOf('x')), failsWith('NOT_AVAILABLE'));
    assert.equal(client.openCalls, 0);
  }
});

test('an HTTP/1.1 server and a closed port are NOT_AVAILABLE', async () => {
  const server = http.createServer((_request, response) => response.end('hello'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await using client = createLaneTransport({ baseUrl: `http://127.0.0.1:${port}` });
  await assert.rejects(client.rawUnary(unaryMethod, bytesOf('x')), failsWith('NOT_AVAILABLE'));
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(client.rawUnary(unaryMethod, bytesOf('x')), (error) => {
    assert.ok(isDomainError(error) && error.code === 'NOT_AVAILABLE' && !error.outcomeUnknown);
    assert.match(error.message, /ECONNREFUSED/);
    return true;
  });
});

test('a peer that says nothing is given up after the connect timeout', async () => {
  await using peer = await startPeer(() => undefined);
  await using client = createLaneTransport({ baseUrl: peer.url, connectTimeoutMs: 50 });
  await assert.rejects(client.rawUnary(unaryMethod, bytesOf('x')), failsWith('NOT_AVAILABLE'));
});

test('a deadline and a cancel also end a call that waits for its connection', async () => {
  await using peer = await startPeer(() => undefined);
  await using client = createLaneTransport({ baseUrl: peer.url });
  await assert.rejects(client.rawUnary(unaryMethod, bytesOf('x'), { timeoutMs: 20 }), failsWith('TIMEOUT'));
  const signal = AbortSignal.timeout(20);
  await assert.rejects(client.rawUnary(unaryMethod, bytesOf('x'), { signal }), failsWith('CANCELLED'));
  assert.equal(client.openCalls, 0);
});

test('a call without any time left ends with TIMEOUT, and Node has nothing to warn of', async () => {
  await using peer = await startPeer(() => undefined);
  await using client = createLaneTransport({ baseUrl: peer.url });
  const warnings: string[] = [];
  const onWarning = ({ name }: Error): void => {
    warnings.push(name);
  };
  process.on('warning', onWarning);
  await assert.rejects(client.rawUnary(unaryMethod, bytesOf('x'), { timeoutMs: 0 }), failsWith('TIMEOUT'));
  process.off('warning', onWarning);
  assert.deepEqual(warnings, []);
});

test('a peer that vanishes under an open call is found by PING', async () => {
  let muted = false;
  await using server = await startLane({
    bidi: async function* (requests) {
      for await (const request of requests) yield request;
    },
  });
  const port = server.port;
  await using proxy = await startPeer((socket) => {
    const upstream = net.connect(port, '127.0.0.1');
    upstream.on('error', () => undefined);
    socket.on('data', (chunk) => muted || upstream.write(chunk));
    upstream.on('data', (chunk) => muted || socket.write(chunk));
    socket.on('close', () => upstream.destroy());
  });
  await using client = createLaneTransport({ baseUrl: proxy.url, keepalive: { intervalMs: 30, timeoutMs: 50 } });
  const call = client.rawBidi(bidiMethod);
  call.send(bytesOf('a'));
  await call.responses.next();
  await new Promise((resolve) => setTimeout(resolve, 150));
  call.send(bytesOf('b'));
  assert.equal(
    textOf((await call.responses.next()).value as Uint8Array),
    'b',
    'silence that answers PING is no failure',
  );
  muted = true;
  await assert.rejects(call.responses.next(), (error) => {
    assert.ok(isDomainError(error) && error.code === 'NOT_AVAILABLE' && error.outcomeUnknown);
    return true;
  });
});

test('the next call opens a new connection after the old one died', async () => {
  await using server = await startHttp2((stream) => answerOk(stream, 'ok'));
  await using client = createLaneTransport({ baseUrl: server.url });
  for (let i = 0; i < 3; i++) {
    assert.equal(textOf(await client.rawUnary(unaryMethod, bytesOf('x'))), 'ok');
    for (const session of server.sessions) session.destroy();
    await until(() => server.sessions.size === 0, 'the session is gone');
  }
});

test('after GOAWAY open calls go on and new ones take a new connection', async () => {
  const held: http2.ServerHttp2Stream[] = [];
  const seen = new Set<http2.ServerHttp2Session>();
  await using server = await startHttp2((stream, session) => {
    seen.add(session);
    held.push(stream);
    if (held.length > 1) answerOk(stream, 'second');
  });
  await using client = createLaneTransport({ baseUrl: server.url });
  const first = client.rawUnary(unaryMethod, bytesOf('x'));
  await until(() => held.length === 1, 'the first call has arrived');
  for (const session of server.sessions) session.close();
  await until(() => held[0]?.session?.closed === true, 'GOAWAY is sent');
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(textOf(await client.rawUnary(unaryMethod, bytesOf('x'))), 'second');
  assert.equal(seen.size, 2);
  answerOk(held[0] as http2.ServerHttp2Stream, 'first');
  assert.equal(textOf(await first), 'first');
});

test('a unary call that the peer refused to begin is repeated once, others are not', async () => {
  let refusals = 1;
  await using server = await startHttp2((stream) => {
    if (refusals-- > 0) stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
    else answerOk(stream, 'ok');
  });
  await using client = createLaneTransport({ baseUrl: server.url });
  assert.equal(textOf(await client.rawUnary(unaryMethod, bytesOf('x'))), 'ok');
  refusals = 2;
  await assert.rejects(client.rawUnary(unaryMethod, bytesOf('x')), (error) => {
    assert.ok(isDomainError(error) && error.code === 'NOT_AVAILABLE' && !error.outcomeUnknown);
    return true;
  });
  assert.equal(refusals, 0);
});

test('answers that are no gRPC become errors', async () => {
  const cases: [ErrorName, (stream: http2.ServerHttp2Stream) => void][] = [
    ['NOT_AVAILABLE', (stream) => stream.respond({ ':status': 503 }, { endStream: true })],
    ['UNIMPLEMENTED', (stream) => stream.respond({ ':status': 404 }, { endStream: true })],
    ['NOT_AVAILABLE', (stream) => stream.respond({ ':status': 200, 'content-type': 'text/html' }, { endStream: true })],
    [
      'NOT_AVAILABLE',
      (stream) => stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { endStream: true }),
    ],
    ['LIMIT_EXCEEDED', (stream) => stream.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM)],
    ['NOT_AVAILABLE', (stream) => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR)],
    [
      'UNAUTHENTICATED',
      (stream) =>
        stream.respond(
          { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '16' },
          { endStream: true },
        ),
    ],
    [
      'REQUEST_TOO_LARGE',
      (stream) => {
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
        stream.write(Buffer.from([0, 0x7f, 0, 0, 0]));
      },
    ],
  ];
  for (const [code, answer] of cases) {
    await using server = await startHttp2(answer);
    await using client = createLaneTransport({ baseUrl: server.url });
    await assert.rejects(client.rawUnary(unaryMethod, bytesOf('x')), failsWith(code));
    assert.equal(client.openCalls, 0);
  }
});

test('open calls are bounded', async () => {
  await using server = await startHttp2(() => undefined);
  const client = createLaneTransport({ baseUrl: server.url, limits: { callsMax: 2 } });
  const calls = Promise.allSettled([1, 2].map(() => client.rawUnary(unaryMethod, bytesOf('x'))));
  await assert.rejects(client.rawUnary(unaryMethod, bytesOf('x')), failsWith('LIMIT_EXCEEDED'));
  await client.close();
  for (const call of await calls) assert.ok(call.status === 'rejected' && failsWith('CANCELLED')(call.reason));
  await assert.rejects(client.rawUnary(unaryMethod, bytesOf('x')), failsWith('CANCELLED'));
});

test('generated clients run on the transport and get DomainErrors', async () => {
  await using server = await startLane({
    unary: async () => {
      throw new DomainError('NOT_LEADER', 'led by 2', { leaderHint: '2@h:1' });
    },
    serverStream: async function* () {
      yield Buffer.from([0x28, 7]);
      throw new DomainError('CORRUPT_LOG', 'bad block');
    },
    clientStream: async (requests) => {
      let bytes = 0;
      for await (const request of requests) bytes += request.length;
      return Buffer.from([0x18, bytes]);
    },
    bidi: async function* (requests) {
      for await (const _ of requests) yield Buffer.from([0x2a, 1, 65]);
    },
  });
  await using transport = createLaneTransport({ baseUrl: server.url });
  const client = createClient(StreamingService, transport);
  await assert.rejects(client.updateQuery({ queryId: 'q' }), (error) => {
    assert.ok(isDomainError(error) && error.code === 'NOT_LEADER');
    assert.equal(error.leaderHint, '2@h:1');
    return true;
  });
  const skipped: bigint[] = [];
  await assert.rejects(async () => {
    for await (const event of client.subscribe({})) skipped.push(event.skipped);
  }, failsWith('CORRUPT_LOG'));
  assert.deepEqual(skipped, [7n]);

  async function* loads() {
    for (let i = 0; i < 3; i++) yield { clientId: 'me' };
  }
  assert.equal((await client.bulkLoad(loads())).position, 12n);
  const ids: string[] = [];
  for await (const { queryId } of client.interactiveQuery(loads())) ids.push(queryId);
  assert.deepEqual(ids, ['A', 'A', 'A']);

  async function* broken() {
    yield { clientId: 'me' };
    throw new Error('no more input');
  }
  await assert.rejects(client.bulkLoad(broken()), failsWith('CANCELLED'));
  assert.equal(transport.openCalls, 0);
});

test('headers and trailers reach the callbacks of a generated client', async () => {
  await using server = await startHttp2((stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'x-head': 'h' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-tail': 't' }));
    stream.end(Buffer.from([0, 0, 0, 0, 0]));
  });
  await using transport = createLaneTransport({ baseUrl: server.url });
  let head: string | null = null;
  let tail: string | null = null;
  await createClient(StreamingService, transport).updateQuery(
    {},
    {
      onHeader: (headers) => {
        head = headers.get('x-head');
      },
      onTrailer: (trailers) => {
        tail = trailers.get('x-tail');
      },
    },
  );
  assert.deepEqual([head, tail], ['h', 't']);
});
