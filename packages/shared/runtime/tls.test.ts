import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import * as https from 'node:https';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import * as tls from 'node:tls';
import { createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { Health } from '@fleetmq/gen/grpc/health/v1/health';
import { StreamingService } from '@fleetmq/gen/streaming/stream';
import { isDomainError, silentLogger } from '@fleetmq/shared';
import { createHealthState } from './health-service.ts';
import { createLaneTransport } from './lane/client.ts';
import { bytesOf, textOf, unaryMethod, until } from './lane/lane-fixture.ts';
import { type RawContext, rawUnary } from './lane/raw.ts';
import { createLane } from './lane/server.ts';
import { startRpcServer } from './rpc-server.ts';
import { createSniffingServer } from './rpc-server-listener.ts';
import { loadTlsFiles, type ServerTls, watchTlsFiles } from './tls.ts';
import { makeTestCertificate } from './tls-fixture.ts';

const ca = makeTestCertificate({ commonName: 'test CA' });
const otherCa = makeTestCertificate({ commonName: 'other CA' });
const node = makeTestCertificate({ commonName: 'node', issuer: ca });
const caller = makeTestCertificate({ commonName: 'caller', issuer: ca });
const stranger = makeTestCertificate({ commonName: 'stranger', issuer: otherCa });

async function startTls(serverTls: Partial<ServerTls> = {}) {
  const seen: RawContext[] = [];
  const lane = createLane({
    routes: [
      rawUnary(unaryMethod, async (_request, context) => {
        seen.push(context);
        return bytesOf(context.connection.certificate?.subject ?? 'nobody');
      }),
    ],
  });
  const server = createSniffingServer((request, response) => response.end(`HTTP/${request.httpVersion}`), {
    lane,
    tls: { cert: node.cert, key: node.key, ca: ca.cert, ...serverTls },
    limits: { firstBytesMs: 200 },
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  return { server, seen, port, url: `https://127.0.0.1:${port}`, [Symbol.asyncDispose]: () => server.drain(0) };
}

async function call(url: string, options: tls.ConnectionOptions): Promise<string> {
  await using client = createLaneTransport({ baseUrl: url, tls: options });
  return textOf(await client.rawUnary(unaryMethod, bytesOf('x')));
}

const isUnavailable = (error: unknown) => isDomainError(error) && error.code === 'NOT_AVAILABLE';

test('the lane over TLS: verified servers only, client certificates as the listener asks', async () => {
  {
    await using server = await startTls();
    assert.equal(await call(server.url, { ca: ca.cert }), 'nobody');
    assert.equal(server.seen[0]?.connection.encrypted, true);
    await assert.rejects(call(server.url, { ca: otherCa.cert }), isUnavailable);
    await assert.rejects(
      call(server.url.replace('127.0.0.1', 'localhost'), { ca: ca.cert, servername: 'other' }),
      isUnavailable,
    );
    await assert.rejects(call(server.url.replace('https', 'http'), {}), isUnavailable);
  }
  {
    await using server = await startTls({ clientCertificate: 'required' });
    assert.equal(await call(server.url, { ca: ca.cert, cert: caller.cert, key: caller.key }), 'CN=caller');
    await assert.rejects(call(server.url, { ca: ca.cert }), isUnavailable);
    await assert.rejects(call(server.url, { ca: ca.cert, cert: stranger.cert, key: stranger.key }), isUnavailable);
  }
  {
    await using server = await startTls({ clientCertificate: 'optional' });
    assert.equal(await call(server.url, { ca: ca.cert, cert: caller.cert, key: caller.key }), 'CN=caller');
    assert.equal(await call(server.url, { ca: ca.cert }), 'nobody');
    assert.equal(await call(server.url, { ca: ca.cert, cert: stranger.cert, key: stranger.key }), 'nobody');
  }
});

test('HTTP/1.1 and HTTP/2 are told apart by ALPN, for Connect and gRPC', async () => {
  const health = createHealthState();
  health.set('', 'serving');
  await using server = await startRpcServer({
    listen: { host: '127.0.0.1', port: 0 },
    tls: { cert: node.cert, key: node.key },
    services: [],
    health,
  });
  const baseUrl = server.address.url;
  assert.ok(baseUrl.startsWith('https://'));
  const nodeOptions = { ca: ca.cert };
  const sessionManager = new Http2SessionManager(baseUrl, {}, nodeOptions);
  const agent = new https.Agent({ keepAlive: true, ca: ca.cert });
  const transports = [
    createGrpcTransport({ baseUrl, nodeOptions, sessionManager }),
    createConnectTransport({ baseUrl, httpVersion: '2', nodeOptions, sessionManager }),
    createConnectTransport({ baseUrl, httpVersion: '1.1', nodeOptions: { agent } }),
  ];
  for (const transport of transports) assert.equal((await createClient(Health, transport).check({})).status, 1);
  sessionManager.abort();
  agent.destroy();
});

test('old protocols, plaintext and silence end the handshake, and others are served on', async () => {
  await using server = await startTls();
  const attempt = (options: tls.ConnectionOptions): Promise<string | null> =>
    new Promise((resolve) => {
      const socket = tls.connect({ host: '127.0.0.1', port: server.port, ca: ca.cert, ...options }, () => {
        resolve(socket.getProtocol());
        socket.destroy();
      });
      socket.on('error', () => resolve(null));
    });
  assert.equal(await attempt({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }), null);
  assert.equal(await attempt({ maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA' }), null);
  assert.equal(await attempt({ maxVersion: 'TLSv1.2' }), 'TLSv1.2');
  assert.equal(await attempt({}), 'TLSv1.3');
  for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '']) {
    const socket = net.connect(server.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.resume();
    if (bytes !== '') socket.write(bytes);
    await new Promise((resolve) => socket.once('close', resolve));
  }
  assert.equal(await call(server.url, { ca: ca.cert }), 'nobody');
});

test('a certificate is replaced for new connections while open ones go on', async () => {
  await using server = await startTls();
  await using before = createLaneTransport({ baseUrl: server.url, tls: { ca: ca.cert } });
  await before.rawUnary(unaryMethod, bytesOf('x'));
  const next = makeTestCertificate({ commonName: 'next', issuer: otherCa });
  server.server.reloadTls({ cert: next.cert, key: next.key });
  await before.rawUnary(unaryMethod, bytesOf('x'));
  assert.equal(await call(server.url, { ca: otherCa.cert }), 'nobody');
  await assert.rejects(call(server.url, { ca: ca.cert }), isUnavailable);
});

test('files are read, checked and watched', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fleetmq-tls-'));
  const files = { certFile: join(folder, 'node.crt'), keyFile: join(folder, 'node.key') };
  const write = async (certificate: { cert: string; key: string }) => {
    await writeFile(files.certFile, certificate.cert);
    await writeFile(files.keyFile, certificate.key);
  };
  const isInvalid = (error: unknown) => isDomainError(error) && error.code === 'INVALID_CONFIG';
  await assert.rejects(loadTlsFiles(files), isInvalid);
  await write({ cert: node.cert, key: caller.key });
  await assert.rejects(loadTlsFiles(files), isInvalid);
  await write(node);
  assert.equal((await loadTlsFiles(files)).cert, node.cert);

  const seen: string[] = [];
  {
    using _ = watchTlsFiles(files, ({ cert }) => seen.push(cert), { pollMs: 20, logger: silentLogger });
    await new Promise((resolve) => setTimeout(resolve, 50));
    await write(caller);
    await until(() => seen.at(-1) === caller.cert, 'the new certificate is seen');
  }
  await rm(folder, { recursive: true });
});

test('a listener that asks for certificates without a CA does not start', () => {
  const tlsOptions: ServerTls = { cert: node.cert, key: node.key, clientCertificate: 'required' };
  assert.throws(() => createSniffingServer(() => undefined, { tls: tlsOptions }), /no CA/);
  assert.throws(
    () => createSniffingServer(() => undefined, { tls: { cert: node.cert, key: caller.key } }),
    /cannot be used/,
  );
});

test('a typed client over TLS', async () => {
  await using server = await startTls();
  await using transport = createLaneTransport({ baseUrl: server.url, tls: { ca: ca.cert } });
  await assert.rejects(createClient(StreamingService, transport).closeQuery({}), isDomainError);
});
