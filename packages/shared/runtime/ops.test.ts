import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { MetricsRegistry } from './metrics.ts';
import { startOps } from './ops.ts';
import { Readiness } from './readiness.ts';

async function start() {
  const readiness = new Readiness(['log recovered', 'registered']);
  const metrics = new MetricsRegistry();
  const server = await startOps({ host: '127.0.0.1', port: 0, readiness, metrics });
  const get = (path: string, init?: RequestInit): Promise<Response> =>
    fetch(`http://127.0.0.1:${server.port}${path}`, init);
  return { server, readiness, metrics, get, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

describe('the ops listener', () => {
  test('is alive at once, and ready when every condition holds', async () => {
    await using ops = await start();
    assert.equal((await ops.get('/livez')).status, 200);
    const before = await ops.get('/readyz');
    assert.equal(before.status, 503);
    assert.deepEqual(await before.json(), {
      status: 'not ready',
      conditions: { 'log recovered': 'not yet', registered: 'not yet' },
    });
    ops.readiness.pass('log recovered');
    ops.readiness.pass('registered');
    const after = await ops.get('/healthz?verbose');
    assert.equal(after.status, 200);
    assert.match(after.headers.get('content-type') ?? '', /^application\/json/);
    assert.deepEqual(await after.json(), { status: 'ready', conditions: { 'log recovered': 'ok', registered: 'ok' } });
    ops.readiness.fail('draining', 'SIGTERM');
    assert.equal((await ops.get('/readyz')).status, 503);
    assert.equal((await ops.get('/livez')).status, 200);
  });

  test('serves metrics as Prometheus text, details apart', async () => {
    await using ops = await start();
    ops.metrics.counter({ name: 'fleetmq_a', help: 'A.' }).add(2);
    ops.metrics.gauge({ name: 'fleetmq_b', help: 'B.', detail: true });
    const summary = await ops.get('/metrics');
    assert.equal(summary.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
    assert.match(await summary.text(), /^fleetmq_a_total 2$/m);
    assert.match(await (await ops.get('/metrics/detail')).text(), /^fleetmq_b 0$/m);
  });

  test('answers HEAD without a body, and says what is not there', async () => {
    await using ops = await start();
    const head = await ops.get('/livez', { method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.equal(await head.text(), '');
    const absent = await ops.get('/nothing');
    assert.equal(absent.status, 404);
    assert.match(await absent.text(), /no \/nothing here/);
    const post = await ops.get('/livez', { method: 'POST', body: 'x' });
    assert.equal(post.status, 405);
    assert.equal(post.headers.get('allow'), 'GET, HEAD');
  });

  test('closes although a connection is open', async () => {
    const ops = await start();
    const socket = connect(ops.server.port, '127.0.0.1');
    await new Promise((resolve) => socket.once('connect', resolve));
    socket.write('GET /livez HTTP/1.1\r\n');
    const closed = new Promise((resolve) => socket.once('close', resolve).on('error', () => undefined));
    await ops.server[Symbol.asyncDispose]();
    await closed;
  });

  test('says when its port is taken', async () => {
    await using ops = await start();
    const again = startOps({
      host: '127.0.0.1',
      port: ops.server.port,
      readiness: ops.readiness,
      metrics: ops.metrics,
    });
    await assert.rejects(again, { code: 'EADDRINUSE', port: ops.server.port });
  });
});

test('readiness tells its listeners of changes, until they leave', () => {
  const readiness = new Readiness(['a']);
  const seen: boolean[] = [];
  const leave = readiness.onChange((report) => seen.push(report.ready));
  readiness.pass('a');
  readiness.pass('a');
  readiness.fail('a', 'lost');
  leave();
  readiness.pass('a');
  assert.deepEqual(seen, [true, false]);
  assert.equal(readiness.ready, true);
});
