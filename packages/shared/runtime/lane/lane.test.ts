import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DomainError, isDomainError } from '@fleetmq/shared';
import fc from 'fast-check';
import {
  bytesOf,
  connect,
  counted,
  failsWith,
  serverStreamMethod,
  startLane,
  textOf,
  unaryMethod,
  until,
} from './lane-fixture.ts';
import type { CallObservation } from './limits.ts';
import type { RawContext } from './raw.ts';

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

test('deadlines end the call on both sides', async () => {
  let reason: unknown;
  let hasBegun = false;
  const ended = Promise.withResolvers<void>();
  await using server = await startLane({
    unary: async (_request, context) => {
      hasBegun = true;
      context.signal.addEventListener('abort', () => {
        reason = context.signal.reason;
        ended.resolve();
      });
      return new Promise(() => undefined);
    },
  });
  await using client = connect(server.url);
  // On a busy machine the time may be over before the connection is open, and then the server never hears of the call.
  while (!hasBegun) {
    await assert.rejects(client.rawUnary(unaryMethod, bytesOf('x'), { timeoutMs: 30 }), failsWith('TIMEOUT'));
  }
  await ended.promise;
  assert.ok(isDomainError(reason));
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
