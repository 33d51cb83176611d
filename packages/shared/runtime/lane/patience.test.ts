/** How long the lane bears with a caller: whose request does not come, whose answer is not taken, whose memory others need. */
import assert from 'node:assert/strict';
import * as http2 from 'node:http2';
import { test } from 'node:test';
import { DomainError } from '@fleetmq/shared';
import { serverStreamMethod, startLane, unaryMethod, until } from './lane-fixture.ts';
import { methodPath, type RawContext } from './raw.ts';

const megabyte = new Uint8Array(1024 * 1024);
const emptyFrame = Buffer.alloc(5);

interface Caller extends Disposable {
  readonly stream: http2.ClientHttp2Stream;
  readonly status: () => string | undefined;
}

/** A caller whose window lets `windowBytes` of an answer through, and no more. */
function call(url: string, path: string, windowBytes: number, headers: http2.OutgoingHttpHeaders = {}): Caller {
  const session = http2.connect(url, { settings: { initialWindowSize: windowBytes } });
  session.on('error', () => undefined);
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  let status: string | undefined;
  const take = (from: http2.IncomingHttpHeaders): void => {
    if (typeof from['grpc-status'] === 'string') status = from['grpc-status'];
  };
  stream.on('error', () => undefined);
  stream.on('response', take);
  stream.on('trailers', take);
  stream.resume();
  return { stream, status: () => status, [Symbol.dispose]: () => session.destroy() };
}

test('a unary request that does not come ends with its own bound, however far the deadline is', async () => {
  await using lane = await startLane({ unary: async (request) => request }, { limits: { requestTimeoutMs: 50 } });
  using caller = call(lane.url, methodPath(unaryMethod), 65_535, { 'grpc-timeout': '10M' });
  caller.stream.write(emptyFrame.subarray(0, 3));
  await until(() => caller.status() !== undefined, 'the call has a status');
  assert.equal(caller.status(), '4');
});

test('the bound on the request is none on the handler: its deadline stays where it was', async () => {
  const answer = Promise.withResolvers<Uint8Array>();
  let signal: AbortSignal | undefined;
  await using lane = await startLane(
    {
      unary: (_request, context) => {
        signal = context.signal;
        return answer.promise;
      },
    },
    { limits: { requestTimeoutMs: 30, defaultTimeoutMs: 300 } },
  );
  const startedMs = performance.now();
  using caller = call(lane.url, methodPath(unaryMethod), 65_535);
  caller.stream.end(emptyFrame);
  await until(() => caller.status() !== undefined, 'the deadline has passed');
  assert.equal(caller.status(), '4');
  assert.ok(performance.now() - startedMs >= 290);
  assert.match(String(signal?.reason), /deadline of 300 ms/);
});

test('a unary answer that is not taken is dropped by the bound on the flush, and the handler hears of it', async () => {
  let closed = 0;
  await using lane = await startLane(
    {
      unary: async (_request, context) => {
        context.onClose?.(() => closed++);
        return megabyte;
      },
    },
    { limits: { flushMs: 50 } },
  );
  using caller = call(lane.url, methodPath(unaryMethod), 0, { 'grpc-timeout': '10M' });
  caller.stream.end(emptyFrame);
  await until(() => closed === 1, 'the stream is closed');
  await until(() => caller.stream.rstCode === http2.constants.NGHTTP2_CANCEL, 'the caller hears of it');
  assert.equal(lane.lane.openCalls, 0);
});

test('onClose calls back once the answer has left, and at once when the stream is gone already', async () => {
  const contexts: RawContext[] = [];
  let closed = 0;
  await using lane = await startLane({
    unary: async (request, context) => {
      contexts.push(context);
      context.onClose?.(() => closed++);
      return request;
    },
  });
  using caller = call(lane.url, methodPath(unaryMethod), 65_535);
  caller.stream.end(emptyFrame);
  await until(() => closed === 1, 'the answer has left');
  assert.equal(caller.status(), '0');
  contexts[0]?.onClose?.(() => closed++);
  assert.equal(closed, 2);
});

test('a caller is given up with ENHANCE_YOUR_CALM, before and after the status is decided', async () => {
  const contexts: RawContext[] = [];
  const ended: string[] = [];
  await using lane = await startLane({
    unary: async (_request, context) => {
      contexts.push(context);
      return megabyte;
    },
    async *serverStream(_request, context) {
      contexts.push(context);
      try {
        for (;;) yield megabyte;
      } finally {
        ended.push('the handler');
      }
    },
  });
  for (const method of [unaryMethod, serverStreamMethod]) {
    using caller = call(lane.url, methodPath(method), 1_000);
    caller.stream.end(emptyFrame);
    await until(() => contexts.length > 0, 'the handler runs');
    await new Promise((resolve) => caller.stream.once('data', resolve));
    contexts.pop()?.giveUp?.(new DomainError('LIMIT_EXCEEDED', 'others need the memory'));
    await until(() => caller.stream.rstCode === http2.constants.NGHTTP2_ENHANCE_YOUR_CALM, 'the caller hears of it');
    await until(() => lane.lane.openCalls === 0, 'nothing is left of the call');
  }
  await until(() => ended.length === 1, 'the handler of the stream has ended');
});
