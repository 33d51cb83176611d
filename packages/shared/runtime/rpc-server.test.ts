import assert from 'node:assert/strict';
import * as http from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type Client, ConnectError, createClient, type Transport } from '@connectrpc/connect';
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from '@connectrpc/connect-node';
import {
  BulkLoadResponseSchema,
  EventSchema,
  QueryRequestSchema,
  QueryResponseSchema,
  StreamingService,
  SubscriptionRequestSchema,
  UpdateQueryRequestSchema,
  UpdateQueryResponseSchema,
} from '@fleetmq/gen/streaming/stream';
import { DomainError, isDomainError, type Logger, silentLogger } from '@fleetmq/shared';
import { createLaneTransport } from './lane/client.ts';
import { connectionKey } from './lane/connection.ts';
import { until } from './lane/lane-fixture.ts';
import type { CallObservation } from './lane/limits.ts';
import { type RawContext, type ServiceRoutes, serviceRoutes } from './lane/raw.ts';
import { fromConnectError } from './rpc-errors.ts';
import { type RpcServerOptions, startRpcServer } from './rpc-server.ts';

/** Half of the service raw, half typed; behaves the same on every path. */
function streamingRoutes(onContext: (context: RawContext) => void = () => undefined): ServiceRoutes {
  const ok = { errorCode: 0, errorMessage: '' } as const;
  return serviceRoutes(
    StreamingService,
    {
      updateQuery: async (request, context) => {
        onContext(context);
        const { queryId } = fromBinary(UpdateQueryRequestSchema, request);
        if (queryId === 'throw') throw new TypeError('secret');
        if (queryId === 'hang') await new Promise(() => undefined);
        if (queryId !== 'fail')
          return toBinary(UpdateQueryResponseSchema, create(UpdateQueryResponseSchema, { errorMessage: queryId }));
        throw new DomainError('NOT_LEADER', 'led by 2: "ä"\r\n', { leaderHint: '2@h:1', retryAfterMs: 40 });
      },
      subscribe: async function* (request) {
        const { topics } = fromBinary(SubscriptionRequestSchema, request);
        for (const topic of topics) {
          if (topic === 'fail') throw new DomainError('CORRUPT_LOG', 'bad block');
          yield toBinary(EventSchema, create(EventSchema, { cursor: new TextEncoder().encode(topic) }));
        }
      },
      bulkLoad: async (requests) => {
        let count = 0;
        for await (const _ of requests) count++;
        return [toBinary(BulkLoadResponseSchema, create(BulkLoadResponseSchema, { position: BigInt(count) }))];
      },
      interactiveQuery: async function* (requests) {
        for await (const request of requests) {
          const { clientId } = fromBinary(QueryRequestSchema, request);
          yield toBinary(QueryResponseSchema, create(QueryResponseSchema, { queryId: clientId }));
        }
      },
    },
    {
      closeQuery: ({ queryId }, context) => {
        if (queryId === 'fail') throw new DomainError('TOPIC_NOT_FOUND', 'no topic "x"');
        if (queryId === 'hang') return new Promise<never>(() => undefined);
        return { errorMessage: `${queryId} ${context.values.get(connectionKey).address.startsWith('127.0.0.1:')}` };
      },
      loadChunk: () => ok,
      async *openQuery({ clientId }, context) {
        if (clientId === 'fail') throw new DomainError('LIMIT_EXCEEDED', 'full');
        try {
          for (let i = 0; clientId === 'forever' || i < 3; i++) {
            yield { part: { queryId: String(i) } };
            if (clientId === 'forever') await sleep(5, undefined, { signal: context.signal });
          }
        } finally {
          ended.push(clientId);
        }
      },
    },
  );
}
const ended: string[] = [];

interface Caller extends AsyncDisposable {
  readonly name: string;
  readonly client: Client<typeof StreamingService>;
  readonly hasBidi: boolean;
}

/** Everyone who may call: our lane and Connect's own clients of all three protocols over both HTTP versions. */
function callers(baseUrl: string): Caller[] {
  const make = (name: string, hasBidi: boolean, transport: Transport, close: () => void | Promise<void>): Caller => ({
    name,
    hasBidi,
    client: createClient(StreamingService, transport),
    [Symbol.asyncDispose]: async () => close(),
  });
  const h2 = () => {
    const sessionManager = new Http2SessionManager(baseUrl);
    return { options: { baseUrl, httpVersion: '2' as const, sessionManager }, close: () => sessionManager.abort() };
  };
  const h1 = () => {
    const agent = new http.Agent({ keepAlive: true });
    return { options: { baseUrl, httpVersion: '1.1' as const, nodeOptions: { agent } }, close: () => agent.destroy() };
  };
  const lane = createLaneTransport({ baseUrl });
  const list = [make('lane', true, lane, () => lane.close())];
  for (const [version, connection, hasBidi] of [
    ['h2', h2, true],
    ['h1', h1, false],
  ] as const) {
    const [json, binary, web, webText] = [connection(), connection(), connection(), connection()];
    list.push(
      make(
        `connect json ${version}`,
        hasBidi,
        createConnectTransport({ ...json.options, useBinaryFormat: false }),
        json.close,
      ),
    );
    list.push(
      make(
        `connect binary ${version}`,
        hasBidi,
        createConnectTransport({ ...binary.options, useBinaryFormat: true }),
        binary.close,
      ),
    );
    list.push(make(`grpc-web ${version}`, hasBidi, createGrpcWebTransport(web.options), web.close));
    list.push(
      make(
        `grpc-web json ${version}`,
        hasBidi,
        createGrpcWebTransport({ ...webText.options, useBinaryFormat: false }),
        webText.close,
      ),
    );
  }
  const [grpc, grpcJson] = [h2(), h2()];
  list.push(make('grpc', true, createGrpcTransport(grpc.options), grpc.close));
  list.push(
    make('grpc json', true, createGrpcTransport({ ...grpcJson.options, useBinaryFormat: false }), grpcJson.close),
  );
  return list;
}

function start(options: Partial<RpcServerOptions> = {}) {
  return startRpcServer({ listen: { host: '127.0.0.1', port: 0 }, services: [streamingRoutes()], ...options });
}

/** Our lane throws DomainErrors, Connect's clients ConnectErrors that carry one. */
async function errorOf(call: Promise<unknown>): Promise<DomainError> {
  try {
    await call;
  } catch (error) {
    if (isDomainError(error)) return error;
    assert.ok(error instanceof ConnectError, String(error));
    return fromConnectError(error);
  }
  return assert.fail('the call did not fail');
}

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const list: Item[] = [];
  for await (const item of items) list.push(item);
  return list;
}

async function* clientIds(count: number): AsyncGenerator<{ clientId: string }> {
  for (let i = 0; i < count; i++) yield { clientId: `c${i}` };
}

test('every protocol over every HTTP version calls raw and typed methods of every kind', async () => {
  await using server = await start();
  for (const caller of callers(server.address.url)) {
    await using _ = caller;
    const { client, name, hasBidi } = caller;
    assert.equal((await client.updateQuery({ queryId: 'ü' })).errorMessage, 'ü', name);
    assert.equal((await client.closeQuery({ queryId: 'q' })).errorMessage, 'q true', name);
    const events = await collect(client.subscribe({ topics: ['a', 'b'] }));
    assert.deepEqual(
      events.map(({ cursor }) => Buffer.from(cursor).toString()),
      ['a', 'b'],
      name,
    );
    assert.deepEqual(
      (await collect(client.openQuery({}))).map(({ part }) => part?.queryId),
      ['0', '1', '2'],
      name,
    );
    assert.equal((await client.bulkLoad(clientIds(3))).position, 3n, name);
    if (!hasBidi) continue;
    assert.deepEqual(
      (await collect(client.interactiveQuery(clientIds(2)))).map(({ queryId }) => queryId),
      ['c0', 'c1'],
      name,
    );
  }
  await until(() => server.activeCalls === 0, 'all calls are closed');
});

test('every protocol carries the whole error', async () => {
  await using server = await start();
  for (const caller of callers(server.address.url)) {
    await using _ = caller;
    const { client, name } = caller;
    const raw = await errorOf(client.updateQuery({ queryId: 'fail' }));
    assert.deepEqual(
      [raw.code, raw.message, raw.leaderHint, raw.retryAfterMs, raw.retriable],
      ['NOT_LEADER', 'led by 2: "ä"\r\n', '2@h:1', 40, true],
      name,
    );
    assert.equal((await errorOf(client.closeQuery({ queryId: 'fail' }))).code, 'TOPIC_NOT_FOUND', name);
    assert.equal((await errorOf(collect(client.subscribe({ topics: ['a', 'fail'] })))).code, 'CORRUPT_LOG', name);
    assert.equal((await errorOf(collect(client.openQuery({ clientId: 'fail' })))).code, 'LIMIT_EXCEEDED', name);
    const unknown = await errorOf(client.updateQuery({ queryId: 'throw' }));
    assert.equal(unknown.code, 'UNKNOWN_ERROR', name);
    assert.match(unknown.message, /^internal error [0-9a-f-]{36}$/, name);
  }
});

test('deadlines hold on every path, named or not, whether the handler listens or not', async () => {
  await using server = await start({ limits: { defaultTimeoutMs: 60 } });
  const check = async (caller: Caller): Promise<void> => {
    await using _ = caller;
    const { client, name } = caller;
    // Our own client always names one.
    for (const timeoutMs of name === 'lane' ? [30] : [30, undefined]) {
      const options = timeoutMs === undefined ? {} : { timeoutMs };
      assert.equal((await errorOf(client.updateQuery({ queryId: 'hang' }, options))).code, 'TIMEOUT', name);
      assert.equal((await errorOf(client.closeQuery({ queryId: 'hang' }, options))).code, 'TIMEOUT', name);
    }
  };
  await Promise.all(callers(server.address.url).map(check));
});

test('a bridged handler knows its deadline and its caller', async () => {
  const seen: RawContext[] = [];
  await using server = await start({ services: [streamingRoutes((context) => seen.push(context))] });
  for (const caller of callers(server.address.url)) {
    await using _ = caller;
    await caller.client.updateQuery({}, { headers: { 'x-word': 'w' } });
    const context = seen.pop();
    assert.ok(context?.deadlineMs !== undefined && context.deadlineMs <= 30_000, caller.name);
    assert.ok(context.peer.startsWith('127.0.0.1:'), caller.name);
    assert.equal(context.header('x-word'), 'w', caller.name);
    assert.equal(context.draining.aborted, false);
  }
});

test('one gate stands before every path and one observer behind it', async () => {
  const observed: CallObservation[] = [];
  await using server = await start({
    gate: ({ header, connection }) => {
      assert.ok(connection.address.startsWith('127.0.0.1:'));
      if (header('authorization') !== 'good') throw new DomainError('UNAUTHENTICATED', 'log in first');
    },
    onCall: (observation) => observed.push(observation),
  });
  for (const caller of callers(server.address.url)) {
    await using _ = caller;
    const { client, name } = caller;
    assert.equal((await errorOf(client.updateQuery({}))).code, 'UNAUTHENTICATED', name);
    assert.equal((await errorOf(client.closeQuery({}))).code, 'UNAUTHENTICATED', name);
    assert.equal((await errorOf(collect(client.openQuery({})))).code, 'UNAUTHENTICATED', name);
    observed.length = 0;
    await client.updateQuery({}, { headers: { authorization: 'good' } });
    await collect(client.openQuery({}, { headers: { authorization: 'good' } }));
    assert.deepEqual(
      observed.map(({ method, code }) => `${method.name} ${code}`),
      ['UpdateQuery OK', 'OpenQuery OK'],
      name,
    );
  }
});

test('message limits hold on every path', async () => {
  await using server = await start({ limits: { readMaxBytes: 10_000, writeMaxBytes: 5_000 } });
  for (const caller of callers(server.address.url)) {
    await using _ = caller;
    const { client, name } = caller;
    const call = (size: number) => errorOf(client.updateQuery({ queryId: 'x'.repeat(size) }));
    for (const size of [6_000, 20_000]) {
      assert.ok(['REQUEST_TOO_LARGE', 'LIMIT_EXCEEDED'].includes((await call(size)).code), `${name} ${size}`);
    }
  }
});

test('a caller that leaves ends the handler on every path', async () => {
  await using server = await start();
  for (const caller of callers(server.address.url)) {
    await using _ = caller;
    ended.length = 0;
    const abort = new AbortController();
    await errorOf(
      (async () => {
        for await (const { part } of caller.client.openQuery({ clientId: 'forever' }, { signal: abort.signal })) {
          if (part?.queryId === '2') abort.abort();
        }
      })(),
    );
    await until(() => ended.length === 1, `${caller.name}: the handler has ended`);
  }
});

async function post(
  url: string,
  headers: Record<string, string>,
  body: string,
): Promise<{ status: number; text: string }> {
  const response = await fetch(url, { method: 'POST', headers, body });
  return { status: response.status, text: await response.text() };
}

test('curl: JSON with the protocol header works, anything else is refused with a reason', async () => {
  await using server = await start();
  const url = `${server.address.url}/rustmq.streaming.StreamingService/UpdateQuery`;
  const json = { 'content-type': 'application/json', 'connect-protocol-version': '1', connection: 'close' };
  const ok = await post(url, json, '{"queryId":"curl"}');
  assert.deepEqual([ok.status, JSON.parse(ok.text)], [200, { errorMessage: 'curl' }]);
  const failed = await post(url, json, '{"queryId":"fail"}');
  assert.equal(failed.status, 503);
  assert.equal(JSON.parse(failed.text).details[0].type, 'rustmq.common.ErrorResponse');
  const { 'connect-protocol-version': __, ...without } = json;
  assert.equal((await post(url, without, '{}')).status, 400);
  assert.equal((await post(url, { ...json, 'content-type': 'text/plain' }, '{}')).status, 415);
  assert.equal((await post(url, json, '{"queryId":')).status, 400);
  assert.equal((await post(`${server.address.url}/no/where`, json, '{}')).status, 404);
  assert.equal((await fetch(url, { headers: { connection: 'close' } })).status, 405);
  const grpc = await post(url, { ...json, 'content-type': 'application/grpc' }, '');
  assert.equal(grpc.status, 505);
  assert.match(grpc.text, /HTTP\/2/);
});

test('what is not mounted is UNIMPLEMENTED in every protocol', async () => {
  await using server = await start({ services: [] });
  for (const caller of callers(server.address.url)) {
    await using _ = caller;
    assert.equal((await errorOf(caller.client.updateQuery({}))).code, 'UNIMPLEMENTED', caller.name);
  }
});

test('a method without a handler does not compile, and stops the start', async () => {
  // @ts-expect-error: closeQuery and others are missing
  serviceRoutes(StreamingService, {}, { loadChunk: () => ({}) });
  await assert.rejects(start({ services: [{ service: StreamingService, typed: {}, raw: [] }] }), /without a handler/);
});

test('a port in use is named', async () => {
  await using server = await start();
  const { port } = server.address;
  await assert.rejects(start({ listen: { host: '127.0.0.1', port } }), (error) => {
    assert.ok(isDomainError(error) && error.code === 'INVALID_CONFIG');
    assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${port}.*in use`));
    return true;
  });
});

test('close lets open calls finish, ends streams that outlast it, and refuses new ones', async () => {
  const server = await start();
  const release = Promise.withResolvers<void>();
  const slow = await start({
    services: [
      streamingRoutes((context) => context.draining.addEventListener('abort', () => release.resolve(), { once: true })),
    ],
  });
  await server.close();
  await assert.rejects(fetch(server.address.url));

  const all = callers(slow.address.url);
  const streams = all.map(({ client }) => errorOf(collect(client.openQuery({ clientId: 'forever' }))));
  const calls = all.map(({ client }) => errorOf(client.updateQuery({ queryId: 'hang' })));
  await until(() => slow.activeCalls === 2 * all.length, 'all calls are open');
  const closing = slow.close({ drainMs: 50 });
  await release.promise;
  for (const [index, error] of (await Promise.all([...streams, ...calls])).entries()) {
    assert.equal(error.code, 'SHUTTING_DOWN', `${all[index % all.length]?.name}: ${error.message}`);
  }
  await closing;
  assert.equal(slow.activeCalls, 0);
  for (const caller of all) await caller[Symbol.asyncDispose]();
});

test('close waits for a call that ends in time', async () => {
  const release = Promise.withResolvers<void>();
  const routes = streamingRoutes();
  const raw = routes.raw.map((route) =>
    route.kind === 'unary' ? { ...route, handler: () => release.promise.then(() => new Uint8Array()) } : route,
  );
  const server = await start({ services: [{ ...routes, raw }] });
  const all = callers(server.address.url);
  const calls = all.map(({ client }) => client.updateQuery({}));
  await until(() => server.activeCalls === all.length, 'all calls are open');
  const closing = server.close({ drainMs: 10_000 });
  await sleep(20);
  release.resolve();
  await Promise.all(calls);
  await closing;
  for (const caller of all) await caller[Symbol.asyncDispose]();
});

test('details of unforeseen errors are logged with the id that the caller got', async () => {
  const lines: Record<string, unknown>[] = [];
  const logger: Logger = { ...silentLogger, warn: (fields) => void lines.push(fields) };
  await using server = await start({ logger });
  for (const caller of callers(server.address.url)) {
    await using _ = caller;
    const error = await errorOf(caller.client.updateQuery({ queryId: 'throw' }));
    const line = lines.pop();
    assert.ok(line !== undefined && error.message.endsWith(line['errorId'] as string), caller.name);
    assert.match(String(line['err']), /secret/);
  }
});
