/**
 * A gateway that is given a certificate speaks TLS alone on its one port: ALPN chooses h2 (gRPC, gRPC-Web, Connect) or HTTP/1.1
 * (Connect, gRPC-Web, curl); old versions of TLS and plaintext are refused.
 */
import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import * as os from 'node:os';
import * as path from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as tls from 'node:tls';
import { makeTestCertificate } from '@fleetmq/shared/runtime/testing';
import { type Bench, startBench } from './testing/gateway-bench.fuzz.ts';

describe('a gateway with a certificate', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fleetmq-tls-'));
  const { cert, key } = makeTestCertificate({ commonName: 'gateway' });
  let bench: Bench;

  before(async () => {
    const files = { certFile: path.join(folder, 'cert.pem'), keyFile: path.join(folder, 'key.pem'), ca: cert };
    fs.writeFileSync(files.certFile, cert);
    fs.writeFileSync(files.keyFile, key);
    bench = await startBench({}, files);
    bench.cluster.createTopic('t', [1]);
    await bench.settled();
  });

  after(async () => {
    await bench[Symbol.asyncDispose]();
    fs.rmSync(folder, { recursive: true });
  });

  const port = (): number => Number(new URL(bench.url).port);
  const handshake = (options: tls.ConnectionOptions): Promise<tls.TLSSocket> =>
    new Promise((resolve, reject) => {
      const socket = tls.connect({ port: port(), host: '127.0.0.1', ca: cert, ...options }, () => resolve(socket));
      socket.on('error', reject);
    });

  test('serves gRPC over h2', async () => {
    assert.match(bench.url, /^https:/);
    const { topics } = await bench.metadata.getTopicMetadata({ topics: ['t'] });
    assert.equal(topics[0]?.topic?.name, 't');
  });

  test('serves JSON over HTTP/1.1', async () => {
    const body = await new Promise<string>((resolve, reject) => {
      const request = https.request(
        `${bench.url}/rustmq.client.MetadataService/ListTopics`,
        { method: 'POST', ca: cert, headers: { 'content-type': 'application/json', 'connect-protocol-version': '1' } },
        (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (chunk: string) => {
            text += chunk;
          });
          response.on('end', () => resolve(text));
        },
      );
      request.on('error', reject);
      request.end('{}');
    });
    assert.equal((JSON.parse(body) as { topics: { name: string }[] }).topics[0]?.name, 't');
  });

  for (const [offered, chosen] of [
    [['h2', 'http/1.1'], 'h2'],
    [['http/1.1'], 'http/1.1'],
  ] as const) {
    test(`ALPN: offered ${offered.join(', ')}, chosen ${chosen}`, async () => {
      const socket = await handshake({ ALPNProtocols: [...offered] });
      assert.equal(socket.alpnProtocol, chosen);
      socket.destroy();
    });
  }

  test('refuses TLS below 1.2', async () => {
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' } as const;
    await assert.rejects(handshake(old));
  });

  test('refuses plaintext', async () => {
    await assert.rejects(
      new Promise((resolve, reject) => {
        http.get(`http://127.0.0.1:${port()}/healthz`, resolve).on('error', reject);
      }),
    );
  });
});
