import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient } from '@connectrpc/connect';
import { Health, HealthCheckResponse_ServingStatus as Status } from '@fleetmq/gen/grpc/health/v1/health';
import { isDomainError } from '@fleetmq/shared';
import { createHealthState } from './health-service.ts';
import { createLaneTransport } from './lane/client.ts';
import { startRpcServer } from './rpc-server.ts';

async function start() {
  const health = createHealthState();
  const server = await startRpcServer({ listen: { host: '127.0.0.1', port: 0 }, services: [], health });
  const transport = createLaneTransport({ baseUrl: server.address.url });
  return {
    health,
    server,
    client: createClient(Health, transport),
    async [Symbol.asyncDispose]() {
      await transport.close();
      await server.close({ drainMs: 0 });
    },
  };
}

test('Check and List say what was set; an unknown service is NOT_FOUND', async () => {
  await using fixture = await start();
  const { client, health } = fixture;
  assert.equal((await client.check({})).status, Status.NOT_SERVING, 'nothing serves before it says so');
  health.set('', 'serving');
  health.set('a.Service', 'not_serving');
  assert.equal((await client.check({})).status, Status.SERVING);
  assert.equal((await client.check({ service: 'a.Service' })).status, Status.NOT_SERVING);
  const { statuses } = await client.list({});
  assert.deepEqual(Object.keys(statuses), ['', 'a.Service']);
  await assert.rejects(client.check({ service: 'no.Service' }), (error) => isDomainError(error) && !error.retriable);
});

test('Watch gives the state at once and then each change', async () => {
  await using fixture = await start();
  const { client, health } = fixture;
  const abort = new AbortController();
  const seen: Status[] = [];
  await assert.rejects(async () => {
    for await (const { status } of client.watch({ service: 'a.Service' }, { signal: abort.signal })) {
      seen.push(status);
      if (seen.length === 1) health.set('a.Service', 'serving');
      if (seen.length === 2) health.setAll('not_serving');
      if (seen.length === 3) abort.abort();
    }
  });
  assert.deepEqual(seen, [Status.SERVICE_UNKNOWN, Status.SERVING, Status.NOT_SERVING]);
});

test('watches end when the server begins to close', async () => {
  await using fixture = await start();
  const { client, server } = fixture;
  const startedAt = performance.now();
  await assert.rejects(
    async () => {
      for await (const _ of client.watch({})) void server.close({ drainMs: 60_000 });
    },
    (error) => isDomainError(error) && error.code === 'SHUTTING_DOWN',
  );
  await server.close();
  assert.ok(performance.now() - startedAt < 5_000);
});
