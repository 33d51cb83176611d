import assert from 'node:assert/strict';
import * as http2 from 'node:http2';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DomainError, type ErrorName, isDomainError } from '@fleetmq/shared';
import fc from 'fast-check';
import { createLaneTransport, type LaneTransportOptions } from './client.ts';
import {
  bidiMethod,
  bytesOf,
  clientStreamMethod,
  serverStreamMethod,
  startLane,
  textOf,
  unaryMethod,
  until,
} from './lane-fixture.ts';
import type { CallObservation } from './limits.ts';
import type { RawContext } from './raw.ts';

const failsWith = (code: ErrorName) => (error: unknown) => {
  assert.ok(isDomainError(error), String(error));
  assert.equal(error.code, code, error.message);
  return true;
};

function connect(url: string, options: Omit<LaneTransportOptions, 'baseUrl'> = {}) {
  return createLaneTransport({ ...options, baseUrl: url });
}

async function* counted(count: number, size: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i++) yield Buffer.alloc(size, i);
}

test('unary calls of any size echo, many at a time on one connection', async () => {
  await using server = await startLane({ unary: async (request) => [request.subarray(0, 3), request.subarray(3)] });
  await using client = connect(server.url);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 60_000 }), { maxLength: 20 }), async (sizes) => {
      const answers = await Promise.all(
        sizes.map((size, index) => client.rawUnary(unaryMethod, Buffer.alloc(size, index))),
      );
      for (const [index, answer] of answers.entries()) {
        assert.equal(Buffer.compare(answer, Buffer.alloc(sizes[index] as number, index)), 0);
      }
    }),
    { numRuns: 20 },
  );
  assert.equal(client.openCalls, 0);
  await until(() => server.lane.openCalls === 0, 'the server has closed its calls');
});

test('the handler sees headers, peer, deadline and a live signal', async () => {
  let seen: RawContext | undefined;
  await using server = await startLane({
    unary: async (_request, context) => {
      seen = context;
      return bytesOf(`${context.header('x-word')} ${context.peer.startsWith('127.0.0.1:')} ${context.signal.aborted}`);
    },
  });
  await using client = connect(server.url, { headers: () => ({ 'x-word': 'hello' }) });
  assert.equal(textOf(await client.rawUnary(unaryMethod, bytesOf('x'), { timeoutMs: 2_000 })), 'hello true false');
  assert.ok(seen?.deadlineMs !== undefined && seen.deadlineMs <= 2_000);
  for (const headers of [
    { 'x-bad': 'a\r\nb' },
    { 'X-Upper': 'a' },
    { te: 'x' },
    { connection: 'close' },
    { ':path': '/' },
  ]) {
    await assert.rejects(client.rawUnary(unaryMethod, bytesOf('x'), { headers }), failsWith('INVALID_REQUEST'));
  }
  const overridden = await client.rawUnary(unaryMethod, bytesOf('x'), { headers: { 'x-word': 'other' } });
  assert.match(textOf(overridden), /^other /);
  assert.equal(client.openCalls, 0);
});

test('errors arrive with code, text, hint and delay; unknown ones with an id only', async () => {
  await using server = await startLane({
    unary: async (request) => {
      if (textOf(request) === 'known') {
        throw new DomainError('NOT_LEADER', 'partition orders-3 is led by 2', {
          leaderHint: '2@h:1',
          retryAfterMs: 50,
        });
      }
      throw new TypeError('secret');
    },
  });
  await using client = connect(server.url);
  await assert.rejects(client.rawUnary(unaryMethod, bytesOf('known')), (error) => {
    assert.ok(isDomainError(error));
    assert.deepEqual(
      [error.code, error.message, error.leaderHint, error.retryAfterMs, error.retriable],
      ['NOT_LEADER', 'partition orders-3 is led by 2', '2@h:1', 50, true],
    );
    return true;
  });
  await assert.rejects(client.rawUnary(unaryMethod, bytesOf('other')), (error) => {
    assert.ok(isDomainError(error) && error.code === 'UNKNOWN_ERROR');
    assert.doesNotMatch(error.message, /secret/);
    return true;
  });
});

test('message limits hold in both directions on both sides', async () => {
  await using server = await startLane(
    { unary: async (request) => Buffer.alloc(Number(textOf(request)) || 1) },
    { limits: { readMaxBytes: 1_000, writeMaxBytes: 2_000 } },
  );
  await using client = connect(server.url, { limits: { readMaxBytes: 1_500, writeMaxBytes: 3_000 } });
  await assert.rejects(client.rawUnary(unaryMethod, Buffer.alloc(1_001)), failsWith('REQUEST_TOO_LARGE'));
  await assert.rejects(client.rawUnary(unaryMethod, Buffer.alloc(3_001)), failsWith('REQUEST_TOO_LARGE'));
  await assert.rejects(client.rawUnary(unaryMethod, bytesOf('1600')), failsWith('REQUEST_TOO_LARGE'));
  await assert.rejects(client.rawUnary(unaryMethod, bytesOf('2001')), failsWith('REQUEST_TOO_LARGE'));
  assert.equal((await client.rawUnary(unaryMethod, bytesOf('1500'))).length, 1_500);
});

test('a large upload that is refused early still gets the reason', async () => {
  await using server = await startLane({ unary: async (request) => request }, { limits: { readMaxBytes: 1_000 } });
  await using client = connect(server.url);
  for (let i = 0; i < 5; i++) {
    await assert.rejects(client.rawUnary(unaryMethod, Buffer.alloc(8_000_000)), failsWith('REQUEST_TOO_LARGE'));
  }
});

test('deadlines end the call on both sides', async () => {
  let reason: unknown;
  const ended = Promise.withResolvers<void>();
  await using server = await startLane({
    unary: async (_request, context) => {
      context.signal.addEventListener('abort', () => {
        reason = context.signal.reason;
        ended.resolve();
      });
      return new Promise(() => undefined);
    },
  });
  await using client = connect(server.url);
  await assert.rejects(client.rawUnary(unaryMethod, bytesOf('x'), { timeoutMs: 30 }), failsWith('TIMEOUT'));
  await ended.promise;
  assert.ok(isDomainError(reason));
});

test('the server enforces a default deadline for callers that name none, and says so', async () => {
  await using server = await startLane(
    { unary: () => new Promise(() => undefined), serverStream: async function* () {} },
    { limits: { defaultTimeoutMs: 30, requestTimeoutMs: 30 } },
  );
  const session = http2.connect(server.url);
  const call = (path: string, end: boolean): Promise<http2.IncomingHttpHeaders> =>
    new Promise((resolve, reject) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      stream.on('response', resolve);
      stream.on('error', reject);
      stream.write(Buffer.from([0, 0, 0, 0, 0]));
      if (end) stream.end();
    });
  const service = '/rustmq.streaming.StreamingService';
  assert.equal((await call(`${service}/UpdateQuery`, true))['grpc-status'], '4');
  assert.equal((await call(`${service}/UpdateQuery`, false))['grpc-status'], '4', 'a body that never ends');
  assert.equal((await call(`${service}/Subscribe`, false))['grpc-status'], '4', 'a stream whose request never ends');
  session.destroy();
});

test('a cancelled call aborts the handler and ends its iterator', async () => {
  const events: string[] = [];
  await using server = await startLane({
    unary: async (_request, context) => {
      context.signal.addEventListener('abort', () => events.push('unary aborted'));
      return new Promise(() => undefined);
    },
    serverStream: async function* (_request, context) {
      context.signal.addEventListener('abort', () => events.push('stream aborted'));
      try {
        for (;;) yield new Uint8Array(10_000);
      } finally {
        events.push('iterator returned');
      }
    },
  });
  await using client = connect(server.url);
  const abort = new AbortController();
  const unary = client.rawUnary(unaryMethod, bytesOf('x'), { signal: abort.signal });
  await until(() => server.lane.openCalls === 1, 'the call has arrived');
  abort.abort();
  await assert.rejects(unary, failsWith('CANCELLED'));
  let received = 0;
  for await (const message of client.rawServerStream(serverStreamMethod, bytesOf('x'))) {
    assert.equal(message.length, 10_000);
    if (++received === 10) break;
  }
  await until(() => events.length === 3, 'all handlers have ended');
  assert.deepEqual(events.toSorted(), ['iterator returned', 'stream aborted', 'unary aborted']);
  await assert.rejects(client.rawUnary(unaryMethod, bytesOf('x'), { signal: abort.signal }), failsWith('CANCELLED'));
});

test('a server stream arrives whole and in order', async () => {
  await using server = await startLane({
    serverStream: (request) => counted(Number(textOf(request)), 50_000),
  });
  await using client = connect(server.url);
  let count = 0;
  for await (const message of client.rawServerStream(serverStreamMethod, bytesOf('200'))) {
    assert.equal(message.length, 50_000);
    assert.equal(message[49_999], count++ & 0xff);
  }
  assert.equal(count, 200);
  const empty = client.rawServerStream(serverStreamMethod, bytesOf('0'));
  assert.deepEqual(await empty.next(), { done: true, value: undefined });
});

test('an error in the middle of a stream comes after the messages before it', async () => {
  await using server = await startLane({
    serverStream: async function* () {
      yield bytesOf('one');
      yield bytesOf('two');
      throw new DomainError('CORRUPT_LOG', 'bad block');
    },
  });
  await using client = connect(server.url);
  const got: string[] = [];
  await assert.rejects(async () => {
    for await (const message of client.rawServerStream(serverStreamMethod, bytesOf('x'))) got.push(textOf(message));
  }, failsWith('CORRUPT_LOG'));
  assert.deepEqual(got, ['one', 'two']);
});

test('a consumer that does not read stops the producer within the bounds', async () => {
  let produced = 0;
  await using server = await startLane({
    serverStream: async function* () {
      for (;;) {
        produced += 65_536;
        yield Buffer.alloc(65_536);
      }
    },
  });
  await using client = connect(server.url, {
    limits: { receiveBufferBytes: 1_000_000 },
    windows: { streamBytes: 500_000 },
  });
  const stream = client.rawServerStream(serverStreamMethod, bytesOf('x'));
  await stream.next();
  let before = -1;
  while (produced !== before) {
    before = produced;
    await sleep(50);
  }
  assert.ok(produced < 4_000_000, `${produced} bytes were produced for one message read`);
  for (let i = 0; i < 100; i++) await stream.next();
  assert.ok(produced > before, 'reading sets it going again');
  await stream.return?.();
});

test('a handler that does not read stops the sender within the bounds', async () => {
  const release = Promise.withResolvers<void>();
  await using server = await startLane(
    {
      clientStream: async (requests) => {
        await release.promise;
        let bytes = 0;
        for await (const request of requests) bytes += request.length;
        return bytesOf(String(bytes));
      },
    },
    { limits: { receiveBufferBytes: 500_000 }, listener: { streamWindowBytes: 300_000 } },
  );
  await using client = connect(server.url, { limits: { sendBufferBytes: 200_000 } });
  const call = client.rawBidi(clientStreamMethod);
  let sent = 0;
  while (call.send(Buffer.alloc(50_000))) sent += 50_000;
  sent += 50_000;
  const wait = call.drained().then(() => true);
  for (;;) {
    const drained = await Promise.race([call.drained().then(() => true), sleep(100).then(() => false)]);
    if (!drained) break;
    sent += 50_000;
    call.send(Buffer.alloc(50_000));
  }
  assert.ok(sent < 3_000_000, `${sent} bytes were sent to a handler that reads nothing`);
  assert.throws(() => {
    for (let i = 0; i < 20; i++) {
      call.send(Buffer.alloc(50_000));
      sent += 50_000;
    }
  }, failsWith('LIMIT_EXCEEDED'));
  release.resolve();
  await wait;
  call.end();
  assert.equal(textOf((await call.responses.next()).value as Uint8Array), String(sent));
  assert.equal((await call.responses.next()).done, true);
});

test('a bidi call answers message by message and can be ended from either side', async () => {
  await using server = await startLane({
    bidi: async function* (requests) {
      for await (const request of requests) {
        if (textOf(request) === 'stop') return;
        yield [bytesOf('re: '), request];
      }
    },
  });
  await using client = connect(server.url);
  const first = client.rawBidi(bidiMethod);
  for (const word of ['a', 'b']) {
    first.send(bytesOf(word));
    assert.equal(textOf((await first.responses.next()).value as Uint8Array), `re: ${word}`);
  }
  first.end();
  assert.equal((await first.responses.next()).done, true);

  const second = client.rawBidi(bidiMethod);
  second.send(bytesOf('stop'));
  assert.equal((await second.responses.next()).done, true, 'the server ends first');
  assert.throws(() => second.send(bytesOf('x')), failsWith('CANCELLED'));
  await assert.rejects(second.drained(), failsWith('CANCELLED'));

  const third = client.rawBidi(bidiMethod);
  third.send(bytesOf('a'));
  await third.responses.next();
  third.close();
  await assert.rejects(third.responses.next(), failsWith('CANCELLED'));
  await until(() => server.lane.openCalls === 0, 'the server has closed its calls');
});

test('a call that waits for its connection keeps its order and its end', async () => {
  await using server = await startLane({
    clientStream: async (requests) => {
      let text = '';
      for await (const request of requests) text += textOf(request);
      return bytesOf(text);
    },
  });
  await using client = connect(server.url);
  const call = client.rawBidi(clientStreamMethod);
  for (const word of ['a', 'b', 'c']) call.send(bytesOf(word));
  call.end();
  assert.equal(textOf((await call.responses.next()).value as Uint8Array), 'abc');
});

test('a gate refuses before the handler runs, at once or later', async () => {
  let ran = 0;
  await using server = await startLane(
    {
      unary: async (request) => {
        ran++;
        return request;
      },
    },
    {
      gate: (call) => {
        const token = call.header('authorization');
        if (token === 'good') return;
        const refusal = new DomainError('UNAUTHENTICATED', 'log in first');
        if (token === 'slow') return Promise.reject(refusal);
        throw refusal;
      },
    },
  );
  await using client = connect(server.url);
  const call = (authorization: string) => client.rawUnary(unaryMethod, bytesOf('x'), { headers: { authorization } });
  await assert.rejects(call('bad'), failsWith('UNAUTHENTICATED'));
  await assert.rejects(call('slow'), failsWith('UNAUTHENTICATED'));
  assert.equal(ran, 0);
  await call('good');
  assert.equal(ran, 1);
});

test('each call is observed once with its code', async () => {
  const observed: CallObservation[] = [];
  await using server = await startLane(
    {
      unary: async (request) => {
        if (request.length === 0) throw new DomainError('TOPIC_NOT_FOUND', 'x');
        return request;
      },
      serverStream: () => counted(3, 10),
    },
    { onCall: (observation) => observed.push(observation) },
  );
  await using client = connect(server.url);
  await client.rawUnary(unaryMethod, bytesOf('x'));
  await assert.rejects(client.rawUnary(unaryMethod, bytesOf('')));
  for await (const _ of client.rawServerStream(serverStreamMethod, bytesOf('x')));
  assert.deepEqual(
    observed.map(({ method, code }) => `${method.name} ${code}`),
    ['UpdateQuery OK', 'UpdateQuery TOPIC_NOT_FOUND', 'Subscribe OK'],
  );
});

test('wrong use of the protocol gets a status and harms nobody', async () => {
  await using server = await startLane({ unary: async (request) => request });
  const session = http2.connect(server.url);
  const path = '/rustmq.streaming.StreamingService/UpdateQuery';
  const base = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' };
  const call = (headers: Record<string, string>, body: Uint8Array): Promise<http2.IncomingHttpHeaders> =>
    new Promise((resolve, reject) => {
      const stream = session.request({ ...base, ...headers });
      let last: http2.IncomingHttpHeaders = {};
      stream.on('response', (received) => {
        last = received;
      });
      stream.on('trailers', (received) => {
        last = { ...last, ...received };
      });
      stream.on('error', reject);
      stream.on('close', () => resolve(last));
      stream.resume();
      stream.end(body);
    });
  const frame = Buffer.from([0, 0, 0, 0, 1, 65]);
  assert.equal((await call({}, frame))['grpc-status'], '0');
  assert.equal((await call({}, Buffer.alloc(0)))['grpc-status'], '12', 'no message');
  assert.equal((await call({}, Buffer.concat([frame, frame])))['grpc-status'], '12', 'two messages');
  assert.equal((await call({}, frame.subarray(0, 5)))['grpc-status'], '3', 'cut');
  const compressed = await call({ 'grpc-encoding': 'gzip' }, Buffer.from([1, 0, 0, 0, 1, 65]));
  assert.equal(compressed['grpc-status'], '12');
  assert.equal(compressed['grpc-accept-encoding'], 'identity');
  assert.equal((await call({ 'grpc-timeout': 'soon' }, frame))['grpc-status'], '3');
  assert.equal((await call({ 'content-type': 'application/grpc+proto' }, frame))['grpc-status'], '0');
  for (const headers of [
    { 'content-type': 'application/json' },
    { 'content-type': 'application/grpc-web' },
    { ':path': '/x/y' },
  ]) {
    assert.equal((await call(headers, frame))['grpc-status'], undefined, 'left to the other handler');
  }
  session.destroy();
});

test('more calls than the connection takes at a time wait their turn', async () => {
  let running = 0;
  let most = 0;
  await using server = await startLane(
    {
      unary: async (request) => {
        most = Math.max(most, ++running);
        await sleep(1);
        running--;
        return request;
      },
    },
    { listener: { streamsPerConnectionMax: 16 } },
  );
  await using client = connect(server.url);
  const answers = await Promise.all(
    Array.from({ length: 300 }, (_, i) => client.rawUnary(unaryMethod, bytesOf(`${i}`))),
  );
  assert.deepEqual(
    answers.map(textOf),
    answers.map((_, i) => `${i}`),
  );
  assert.ok(most <= 16, `${most} ran at a time`);
});

test('a caller that takes nothing loses its stream, and its unary answer with the deadline', async () => {
  await using server = await startLane(
    { unary: async () => bytesOf('answer'), serverStream: () => counted(1_000, 100_000) },
    { limits: { stallMs: 50, defaultTimeoutMs: 50 } },
  );
  const session = http2.connect(server.url, { settings: { initialWindowSize: 0 } });
  for (const [method, code] of [
    ['UpdateQuery', 'CANCEL'],
    ['Subscribe', 'ENHANCE_YOUR_CALM'],
  ] as const) {
    const stream = session.request({
      ':method': 'POST',
      ':path': `/rustmq.streaming.StreamingService/${method}`,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => undefined);
    stream.end(Buffer.from([0, 0, 0, 0, 0]));
    await new Promise((resolve) => stream.once('close', resolve));
    assert.equal(stream.rstCode, http2.constants[`NGHTTP2_${code}`], method);
  }
  session.destroy();
  await until(() => server.lane.openCalls === 0, 'nothing is left');
});
