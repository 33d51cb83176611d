import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDomainError } from '@fleetmq/shared';
import { bytesOf, startLane, textOf, unaryMethod, until } from './lane/lane-fixture.ts';
import { createRpcPool } from './rpc-client.ts';

test('one transport per address, opened anew after it was idle', async () => {
  await using first = await startLane({ unary: async () => bytesOf('first') });
  await using second = await startLane({ unary: async () => bytesOf('second') });
  await using pool = createRpcPool({ idleMs: 40, checkMs: 10 });
  const call = async (url: string) => textOf(await pool.get(url).rawUnary(unaryMethod, bytesOf('x')));
  assert.deepEqual(
    [await call(first.url), await call(second.url), await call(first.url)],
    ['first', 'second', 'first'],
  );
  assert.equal(pool.get(first.url), pool.get(first.url));
  await until(() => pool.size === 0, 'idle transports are closed');
  assert.equal(await call(first.url), 'first');
});

test('addresses are bounded: the idle one makes room, busy ones stay', async () => {
  const release = Promise.withResolvers<void>();
  await using server = await startLane({
    unary: async (request) => {
      await release.promise;
      return request;
    },
  });
  const alias = server.url.replace('127.0.0.1', 'localhost');
  await using pool = createRpcPool({ transportsMax: 1 });
  pool.get('http://127.0.0.1:1');
  const open = pool.get(server.url).rawUnary(unaryMethod, bytesOf('x'));
  assert.throws(
    () => pool.get(alias),
    (error) => isDomainError(error) && error.code === 'LIMIT_EXCEEDED',
  );
  release.resolve();
  await open;
  pool.get(alias);
  assert.equal(pool.size, 1);
});

test('a closed pool gives nothing and ends what is open', async () => {
  await using server = await startLane({ unary: () => new Promise(() => undefined) });
  const pool = createRpcPool();
  const open = assert.rejects(pool.get(server.url).rawUnary(unaryMethod, bytesOf('x')), isDomainError);
  await pool.close();
  await open;
  assert.throws(() => pool.get(server.url), isDomainError);
});
