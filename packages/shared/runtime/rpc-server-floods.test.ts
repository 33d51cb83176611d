/** Frames that cost a peer nothing: what is meant is answered, a flood costs the connection. */
import assert from 'node:assert/strict';
import * as http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { until } from './lane/lane-fixture.ts';
import type { ListenerLimits } from './rpc-server-limits.ts';
import { createSniffingServer } from './rpc-server-listener.ts';
import { TokenBucket } from './token-bucket.ts';

async function connect(
  limits: Partial<ListenerLimits>,
): Promise<AsyncDisposable & { session: http2.ClientHttp2Session }> {
  const server = createSniffingServer((_request, response) => response.end(), { limits });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const session = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  session.on('error', () => undefined);
  await new Promise((resolve) => session.once('remoteSettings', resolve));
  return {
    session,
    async [Symbol.asyncDispose]() {
      session.destroy();
      await server.drain(0);
    },
  };
}

describe('floods of frames', () => {
  for (const what of ['PING', 'SETTINGS'] as const) {
    test(`${what}: as many as the limit allows are answered, more cost the connection`, async () => {
      await using peer = await connect({ pingsBurst: 100, pingsPerSecond: 1 });
      const { session } = peer;
      const codes: number[] = [];
      session.on('goaway', (code) => codes.push(code));
      let answers = 0;
      const send = (): void => {
        if (what === 'PING') session.ping(() => answers++);
        else session.settings({ enablePush: false }, () => answers++);
      };
      // The SETTINGS of the beginning have cost 20.
      const few = what === 'PING' ? 50 : 2;
      for (let i = 0; i < few; i++) {
        send();
        await until(() => answers === i + 1, 'it is answered');
      }
      assert.deepEqual(codes, []);
      await until(() => {
        if (!session.destroyed && !session.closed) send();
        return session.destroyed;
      }, 'the connection is closed');
      assert.equal(codes[0] ?? http2.constants.NGHTTP2_ENHANCE_YOUR_CALM, http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
      assert.ok(answers < 100, `${answers} were answered`);
    });
  }
});

test('a bucket gives its burst at once, and then so many a second', () => {
  const bucket = new TokenBucket({ burst: 3, perSecond: 10 }, 0);
  const takes = (nowMs: number, count: number): boolean[] => Array.from({ length: count }, () => bucket.take(nowMs));
  assert.deepEqual(takes(0, 4), [true, true, true, false]);
  // One is owed.
  assert.deepEqual(takes(200, 2), [true, false]);
  assert.deepEqual(takes(10_000, 4), [true, true, true, false]);
  assert.equal(new TokenBucket({ burst: 3, perSecond: 1 }, 0).take(0, 4), false);
});
