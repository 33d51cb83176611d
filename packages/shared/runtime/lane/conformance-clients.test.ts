/** Every client against every server: the lane's two halves, Connect's, and those of @grpc/grpc-js must agree on each outcome. */
import assert from 'node:assert/strict';
import { constants } from 'node:http2';
import { after, before, describe, test } from 'node:test';
import type { ErrorName } from '@fleetmq/shared';
import { createLaneTransport, type RawBidiCall } from './client.ts';
import { codeOfStatus } from './conformance-call-cases-fixture.ts';
import {
  type CallRequest,
  type CallResult,
  type ConformanceClient,
  connectClient,
  grpcJsClient,
  laneClient,
} from './conformance-clients-fixture.ts';
import { startGrpcJsServer } from './conformance-grpc-js-fixture.ts';
import {
  type ConformanceServer,
  encodeRequest,
  kinds,
  methodOf,
  type Script,
  startConformanceServer,
} from './conformance-service-fixture.ts';
import { until } from './lane-fixture.ts';
import { startHttp2 } from './peer-fixture.ts';

interface OutcomeCase extends CallRequest {
  readonly name: string;
  readonly messages: readonly string[];
  /** Absent: OK. */
  readonly fails?: { readonly status: number; readonly code: ErrorName; readonly text: string | RegExp };
  readonly cancelsAfter?: string;
}

const script = (what: Script): string => JSON.stringify(what);

const cases: readonly OutcomeCase[] = [
  { name: 'unary', kind: 'unary', requests: ['a'], messages: ['a'] },
  {
    name: 'server stream',
    kind: 'serverStream',
    requests: [script({ say: ['a', '', 'c'] })],
    messages: ['a', '', 'c'],
  },
  { name: 'server stream of nothing', kind: 'serverStream', requests: [script({})], messages: [] },
  { name: 'client stream', kind: 'clientStream', requests: ['a', '', 'c'], messages: ['a||c'] },
  { name: 'client stream of nothing', kind: 'clientStream', requests: [], messages: [''] },
  { name: 'bidi', kind: 'bidi', requests: ['a', 'b', 'c'], messages: ['a', 'b', 'c'] },
  { name: 'bidi of nothing', kind: 'bidi', requests: [], messages: [] },
  ...kinds.map((kind): OutcomeCase => ({ name: `an empty message (${kind})`, kind, requests: [''], messages: [''] })),
  ...kinds.map(
    (kind): OutcomeCase => ({
      name: `long messages (${kind})`,
      kind,
      requests: [script({ size: 9_000 }).padEnd(19_000)],
      messages: ['x'.repeat(9_000)],
    }),
  ),
  ...[...codeOfStatus].map(
    ([status, code], index): OutcomeCase => ({
      name: `status ${status} with its details`,
      kind: kinds[index % kinds.length] ?? 'unary',
      requests: [script({ fail: { code, message: `for ${code}` } })],
      messages: [],
      fails: { status, code, text: `for ${code}` },
    }),
  ),
  ...['Größe überschritten 注文 🚫', 'line\r\nnext\tline', '100 % of %41'].map(
    (message): OutcomeCase => ({
      name: `the error text ${JSON.stringify(message)}`,
      kind: 'unary',
      requests: [script({ fail: { code: 'INVALID_REQUEST', message } })],
      messages: [],
      fails: { status: 3, code: 'INVALID_REQUEST', text: message },
    }),
  ),
  ...(['serverStream', 'bidi'] as const).map(
    (kind): OutcomeCase => ({
      name: `an error after two messages (${kind})`,
      kind,
      requests: [script({ say: ['a', 'b'], fail: { code: 'CORRUPT_LOG', message: 'bad block' } })],
      messages: ['a', 'b'],
      fails: { status: 15, code: 'CORRUPT_LOG', text: 'bad block' },
    }),
  ),
  {
    name: 'a header',
    kind: 'unary',
    headers: { 'x-word': 'hello, world' },
    requests: [script({ header: 'x-word' })],
    messages: ['hello, world'],
  },
  {
    name: 'a timeout that is long enough',
    kind: 'serverStream',
    timeoutMs: 60_000,
    requests: [script({ deadline: true })],
    messages: ['a deadline'],
  },
  ...kinds.map(
    (kind): OutcomeCase => ({
      name: `a deadline that passes (${kind})`,
      kind,
      timeoutMs: 100,
      requests: [script({ hang: true })],
      messages: [],
      fails: { status: 4, code: 'TIMEOUT', text: /./ },
    }),
  ),
  ...(['serverStream', 'bidi'] as const).map(
    (kind): OutcomeCase => ({
      name: `cancelled after a message (${kind})`,
      kind,
      requests: [script({ say: ['a'], hang: true })],
      messages: ['a'],
      cancelsAfter: 'a',
      fails: { status: 1, code: 'CANCELLED', text: /./ },
    }),
  ),
];

const servers = {
  lane: () => startConformanceServer('lane'),
  connect: () => startConformanceServer('connect'),
  'grpc-js': startGrpcJsServer,
};

const clients = { lane: laneClient, connect: connectClient, 'grpc-js': grpcJsClient };

for (const [serverName, start] of Object.entries(servers)) {
  for (const [clientName, connect] of Object.entries(clients)) {
    describe(`the client of ${clientName} against ${serverName}`, () => {
      let server: ConformanceServer;
      let client: ConformanceClient;
      before(async () => {
        server = await start();
        client = connect(server.url);
      });
      after(async () => {
        await client[Symbol.asyncDispose]();
        await server[Symbol.asyncDispose]();
      });
      for (const each of cases) test(each.name, { timeout: 60_000 }, () => run(each, client, server));
    });
  }
}

async function run(each: OutcomeCase, client: ConformanceClient, server: ConformanceServer): Promise<void> {
  const abortedBefore = server.events.aborted;
  const abort = new AbortController();
  const result = await client.call({
    ...each,
    signal: abort.signal,
    onMessage: (text) => text === each.cancelsAfter && abort.abort(),
  });
  compare(result, each);
  if (each.cancelsAfter === undefined) return;
  await until(() => server.events.aborted > abortedBefore, 'the handler is told', 20_000);
}

function compare(result: CallResult, { messages, fails }: OutcomeCase): void {
  const { status, code } = result;
  const text = JSON.stringify(result);
  assert.deepEqual({ status, code }, { status: fails?.status ?? 0, code: fails?.code ?? 'OK' }, text);
  assert.deepEqual(result.messages, messages);
  if (fails === undefined) return;
  if (typeof fails.text === 'string') assert.equal(result.text, fails.text);
  else assert.match(result.text, fails.text);
}

describe('the client of the lane', () => {
  test('a request that is cancelled is not ended first', async () => {
    await using server = await startConformanceServer('lane');
    await using client = createLaneTransport({ baseUrl: server.url });
    const endings: Readonly<Record<string, (call: RawBidiCall, abort: AbortController) => void>> = {
      'by the caller': (call) => call.close(),
      'by its signal': (_call, abort) => abort.abort(),
      'by leaving the answers': (call) => void call.responses.return?.(),
      'by its deadline': () => undefined,
    };
    for (const [how, end] of Object.entries(endings)) {
      const { started, aborted, completed } = server.events;
      const abort = new AbortController();
      const timeoutMs = how === 'by its deadline' ? 500 : 60_000;
      const call = client.rawBidi(methodOf.clientStream, { signal: abort.signal, timeoutMs });
      call.send(encodeRequest('a'));
      await until(() => server.events.started > started, `${how}: the handler runs`, 20_000);
      end(call, abort);
      await until(() => server.openCalls() === 0, `${how}: the call is over`, 20_000);
      assert.equal(server.events.aborted, aborted + 1, how);
      assert.equal(server.events.completed, completed, how);
    }
  });

  test('an answer before the end of the request resets it without an error', async () => {
    const resets: string[] = [];
    await using server = await startHttp2((stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '0' }, { endStream: true });
      stream.on('close', () => resets.push(`${stream.rstCode} ${stream.readableEnded}`));
    });
    await using client = createLaneTransport({ baseUrl: server.url });
    const call = client.rawBidi(methodOf.bidi);
    call.send(encodeRequest('a'));
    assert.equal((await call.responses.next()).done, true);
    await until(() => resets.length === 1, 'the stream is closed', 20_000);
    assert.deepEqual(resets, [`${constants.NGHTTP2_NO_ERROR} true`]);
  });
});
