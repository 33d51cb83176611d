import assert from 'node:assert/strict';
import http from 'node:http';
import http2 from 'node:http2';
import { describe, test } from 'node:test';
import { createClient } from '@connectrpc/connect';
import { AuthService } from '@fleetmq/gen/client/auth';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import { Health } from '@fleetmq/gen/grpc/health/v1/health';
import { StreamingService } from '@fleetmq/gen/streaming/stream';
import { silentLogger } from '@fleetmq/shared';
import { gatewaySchema } from './config.ts';
import { createGateway, nodePorts } from './gateway.ts';
import { eventually, record, startBench } from './testing/gateway-bench.fuzz.ts';

const first = { topic: 't', partition: 0 };

describe('a gateway for everyone', () => {
  test('tells what there is, with addresses for clients alone', async () => {
    await using bench = await startBench();
    bench.cluster.createTopic('t', [1, 2]);
    await bench.settled();
    const { topics, brokers } = await bench.metadata.getTopicMetadata({ topics: ['t', 'nope'] });
    assert.deepEqual(
      topics.map(({ errorCode, topic }) => [errorCode, topic?.partitions.map(({ leaderId }) => leaderId)]),
      [
        [ErrorCode.OK, [1, 2]],
        [ErrorCode.TOPIC_NOT_FOUND, undefined],
      ],
    );
    assert.ok(brokers.every(({ endpoints }) => endpoints.every(({ listener }) => listener === 'client')));
    const cluster = await bench.metadata.getClusterMetadata({});
    assert.deepEqual([cluster.clusterId, cluster.securityMode], ['fake', 'open']);
    assert.deepEqual(
      cluster.controllers.map(({ controllerId, host, leader }) => [controllerId, host, leader]),
      [[1, '', true]],
    );
    assert.equal((await bench.metadata.listTopics({})).topics.length, 1);
    assert.equal((await bench.metadata.getBrokerList({})).brokers.length, 2);
    const leader = await bench.metadata.getPartitionLeader({ topicPartition: { topic: 't', partition: 1 } });
    assert.equal(leader.leader?.broker?.id, '2');
  });

  test('passes administration on, and knows a new topic when it has said so', async () => {
    await using bench = await startBench();
    for (let i = 0; i < 5; i++) {
      await bench.admin.createTopic({ name: `new-${i}` });
      const topicPartition = { topic: `new-${i}`, partition: 0 };
      const { errorCode } = await bench.producer.produce({ topicPartition, records: [record('a')] });
      assert.equal(errorCode, ErrorCode.OK);
    }
    await bench.admin.describeCluster({});
    await bench.admin.listQuotas({});
    assert.deepEqual(bench.cluster.adminCalls.slice(-2), ['DescribeCluster', 'ListQuotas']);
  });

  test('says of everything that is not built that it is not', async () => {
    await using bench = await startBench();
    const streaming = createClient(StreamingService, bench.transport);
    const auth = createClient(AuthService, bench.transport);
    const calls: readonly (() => Promise<unknown>)[] = [
      () => bench.consumer.joinGroup({}),
      () => bench.consumer.listGroups({}),
      () => streaming.updateQuery({}),
      () => streaming.subscribe({})[Symbol.asyncIterator]().next(),
      () => auth.authenticate({}),
    ];
    for (const call of calls) await assert.rejects(call, { code: 'UNIMPLEMENTED', message: /not built yet/ });
  });

  test('reports its health, and answers unknown methods as gRPC expects it', async () => {
    await using bench = await startBench();
    const health = createClient(Health, bench.transport);
    assert.equal((await health.check({})).status, 1);
    assert.equal((await health.check({ service: 'rustmq.client.ProducerService' })).status, 1);
    const session = http2.connect(bench.url);
    const stream = session.request({
      ':method': 'POST',
      ':path': '/rustmq.broker.BrokerReplicationService/UpdateISR',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.end();
    const headers = await new Promise<http2.IncomingHttpHeaders>((resolve) => stream.once('response', resolve));
    assert.deepEqual([headers[':status'], headers['grpc-status']], [200, '12']);
    session.destroy();
    const { host, port } = bench.gateway.listeners.ops;
    assert.equal((await fetch(`http://${host}:${port}/readyz`)).status, 200);
    const metrics = await (await fetch(`http://${host}:${port}/metrics`)).text();
    assert.match(
      metrics,
      /fleetmq_request_duration_seconds_count\{service="grpc.health.v1.Health",method="Check",code="OK"\} 2/,
    );
  });
});

describe('a gateway for pages and curl', () => {
  const produce = '/rustmq.client.ProducerService/Produce';
  const json = { 'content-type': 'application/json', 'connect-protocol-version': '1' };

  test('speaks JSON over HTTP/1.1, and GET where nothing changes', async () => {
    await using bench = await startBench();
    bench.cluster.createTopic('t', [1]);
    await bench.settled();
    const body = JSON.stringify({ topicPartition: first, records: [{ value: 'YQ==' }] });
    const answer = await fetch(bench.url + produce, { method: 'POST', headers: json, body });
    assert.equal(answer.status, 200);
    assert.equal((await answer.json()).leaderId, '1');
    assert.deepEqual(bench.cluster.logs.values(first), ['a']);
    const question = encodeURIComponent(
      JSON.stringify({ partitions: [{ topicPartition: first, position: { boundary: 'OFFSET_BOUNDARY_LATEST' } }] }),
    );
    const listOffsets = `${bench.url}/rustmq.client.ConsumerService/ListOffsets?connect=v1&encoding=json&message=${question}`;
    assert.equal((await (await fetch(listOffsets)).json()).partitions[0].offset, '1');
    assert.equal((await fetch(`${bench.url + produce}?connect=v1&encoding=json&message=${question}`)).status, 405);
  });

  test('streams to a page over Connect, and lets go when the page leaves', async () => {
    await using bench = await startBench();
    bench.cluster.createTopic('t', [1]);
    await bench.settled();
    bench.cluster.logs.append(first, [record('hello')]);
    const request = Buffer.from(JSON.stringify({ partitions: [{ topicPartition: first }] }));
    const body = Buffer.concat([Buffer.from([0, 0, 0, 0, request.length]), request]);
    const leaving = new AbortController();
    const answer = await fetch(`${bench.url}/rustmq.client.ConsumerService/Subscribe`, {
      method: 'POST',
      headers: { 'content-type': 'application/connect+json', 'connect-protocol-version': '1' },
      body,
      signal: leaving.signal,
    });
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
    const chunk = await reader.read();
    assert.match(new TextDecoder().decode(chunk.value), /aGVsbG8=/);
    leaving.abort();
    const broker = bench.cluster.broker(1);
    await eventually(() => broker.calls[0]?.context.signal.aborted === true, 'the broker is left');
  });

  test('lets pages of this machine in, and no others', async () => {
    await using bench = await startBench();
    const preflight = (origin: string): Promise<Response> =>
      fetch(bench.url + produce, {
        method: 'OPTIONS',
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'content-type,connect-protocol-version,authorization,traceparent',
        },
      });
    const allowed = await preflight('http://localhost:5173');
    assert.equal(allowed.status, 204);
    assert.equal(allowed.headers.get('access-control-allow-origin'), 'http://localhost:5173');
    assert.equal(allowed.headers.get('access-control-allow-credentials'), null);
    assert.match(allowed.headers.get('vary') ?? '', /origin/i);
    for (const header of ['authorization', 'traceparent', 'tracestate', 'x-grpc-web', 'connect-protocol-version']) {
      assert.match((allowed.headers.get('access-control-allow-headers') ?? '').toLowerCase(), new RegExp(header));
    }
    for (const origin of ['https://evil.example', 'null']) {
      assert.equal((await preflight(origin)).headers.get('access-control-allow-origin'), null);
    }
    const call = await fetch(`${bench.url}/rustmq.client.MetadataService/ListTopics`, {
      method: 'POST',
      headers: { ...json, origin: 'http://127.0.0.1:3000' },
      body: '{}',
    });
    assert.equal(call.headers.get('access-control-allow-origin'), 'http://127.0.0.1:3000');
    assert.match((call.headers.get('access-control-expose-headers') ?? '').toLowerCase(), /grpc-status/);
  });

  test('refuses forms, calls without the protocol header, and plain gRPC over HTTP/1.1', async () => {
    await using bench = await startBench();
    const status = async (headers: Record<string, string>): Promise<number> =>
      (await fetch(bench.url + produce, { method: 'POST', headers, body: '{}' })).status;
    assert.equal(await status({ 'content-type': 'text/plain' }), 415);
    assert.equal(await status({ 'content-type': 'application/x-www-form-urlencoded' }), 415);
    assert.equal(await status({ 'content-type': 'application/json' }), 400);
    assert.equal(await status({ 'content-type': 'application/grpc' }), 505);
  });

  test('answers /healthz, and 404 for what is not there', async () => {
    await using bench = await startBench();
    const healthy = await fetch(`${bench.url}/healthz`);
    assert.deepEqual([healthy.status, await healthy.json()], [200, { status: 'ready' }]);
    assert.equal((await fetch(`${bench.url}/nothing`)).status, 404);
    await new Promise<void>((resolve, reject) => {
      const request = http.get(`${bench.url}/%E0%A4%A`, (response) => {
        response.resume();
        response.on('end', () => resolve());
      });
      request.on('error', reject);
    });
  });
});

describe('a gateway that cannot start', () => {
  const config = (changes: Record<string, unknown>) =>
    gatewaySchema.parse({
      controllers: '127.0.0.1:1',
      security: { mode: 'open' },
      listen: { client: { port: 0 }, ops: { port: 0 } },
      cors: {},
      reflection: {},
      limits: {},
      log: {},
      ...changes,
    });
  const cases: readonly (readonly [string, Record<string, unknown>, string])[] = [
    ['the secured mode', { security: { mode: 'secured' } }, 'UNIMPLEMENTED'],
    ['no address of a controller', { controllers: 'somewhere' }, 'INVALID_CONFIG'],
    ['an origin that is none', { cors: { origins: ['*'] } }, 'INVALID_CONFIG'],
    [
      'a certificate without its key',
      { listen: { client: { port: 0, 'tls-cert': 'x' }, ops: { port: 0 } } },
      'INVALID_CONFIG',
    ],
  ];
  for (const [what, changes, code] of cases) {
    test(`${what}: ${code}`, async () => {
      await assert.rejects(createGateway(config(changes), nodePorts(silentLogger)), { code });
    });
  }

  test('without controllers it listens, is not ready, and says so', async () => {
    await using gateway = await createGateway(config({}), nodePorts(silentLogger));
    assert.equal((await fetch(`${gateway.listeners.client.url}/healthz`)).status, 503);
    await assert.rejects(gateway.whenReady(AbortSignal.timeout(20)));
  });
});
