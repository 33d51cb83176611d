import assert from 'node:assert/strict';
import * as http2 from 'node:http2';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DomainError } from '@fleetmq/shared';
import { bytesOf, connect, counted, failsWith, startLane, textOf, unaryMethod, until } from './lane-fixture.ts';

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
