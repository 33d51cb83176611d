/**
 * What gRPC over HTTP/2 says of a server, case by case on the wire, for the lane and for Connect. The expectations come from
 * gRPC's PROTOCOL-HTTP2.md, statuscodes.md and compression.md and from what the Connect project's conformance suite asks.
 */
import assert from 'node:assert/strict';
import * as http2 from 'node:http2';
import { addAbortSignal } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { callCases } from './conformance-call-cases-fixture.ts';
import { asking, type Expectation } from './conformance-cases-fixture.ts';
import { deadlineCases } from './conformance-deadline-cases-fixture.ts';
import { framingCases } from './conformance-framing-cases-fixture.ts';
import { requestCases } from './conformance-request-cases-fixture.ts';
import { type ConformanceServer, kinds, methodOf, startConformanceServer } from './conformance-service-fixture.ts';
import { exchange, type Outcome, type Target } from './conformance-wire-fixture.ts';
import { until } from './lane-fixture.ts';
import { methodPath } from './raw.ts';

const cases = [...callCases, ...deadlineCases, ...framingCases, ...requestCases];

type BreakOff = (stream: http2.ClientHttp2Stream, session: http2.ClientHttp2Session) => void;

const waysToBreakOff: Readonly<Record<string, BreakOff>> = {
  cancelled: (stream) => addAbortSignal(AbortSignal.abort(), stream),
  'reset without an error': (stream) => stream.destroy(),
  'reset with an error': (stream) => stream.destroy(new Error('gone')),
  'cut off with its connection': (_stream, session) => session.destroy(),
};

for (const on of ['lane', 'connect'] as const) {
  describe(`on ${on}`, () => {
    let server: ConformanceServer;
    let target: Target;
    before(async () => {
      server = await startConformanceServer(on);
      target = { session: http2.connect(server.url), events: server.events };
    });
    after(async () => {
      target.session.destroy();
      await server[Symbol.asyncDispose]();
    });
    for (const each of cases) {
      test(each.name, async () => {
        const abortedBefore = target.events.aborted;
        const outcome = await exchange(target, each);
        const expected = on === 'connect' ? (each.connect?.expect ?? each.expect) : each.expect;
        compare(outcome, expected);
        if (each.abortsHandler === true) {
          await until(() => target.events.aborted > abortedBefore, 'the handler is told', 20_000);
        }
      });
    }

    for (const [how, breakOff] of Object.entries(waysToBreakOff)) {
      for (const kind of kinds) {
        test(`half a request that is ${how} is never taken for all of it (${kind})`, async () => {
          const { started, completed } = server.events;
          const isStreamed = kind === 'clientStream' || kind === 'bidi';
          const session = http2.connect(server.url).on('error', () => undefined);
          const headers = {
            ':method': 'POST',
            ':path': methodPath(methodOf[kind]),
            'content-type': 'application/grpc',
          };
          const stream = session.request({ ...headers, te: 'trailers' }).on('error', () => undefined);
          stream.write(asking('a'));
          await until(() => server.openCalls() === 1, 'the call is there', 20_000);
          if (isStreamed) await until(() => server.events.started > started, 'the handler runs', 20_000);
          breakOff(stream, session);
          await until(() => server.openCalls() === 0, 'the call is over', 20_000);
          assert.equal(server.events.completed, completed);
          if (!isStreamed) assert.equal(server.events.started, started);
          session.destroy();
        });
      }
    }
  });
}

function compare(outcome: Outcome, expected: Expectation): void {
  const { text = '', ...rest } = expected;
  const wanted = { http: 200, type: 'grpc', status: 0, messages: [], reset: 'none', ...rest };
  const got = Object.fromEntries(Object.keys(wanted).map((key) => [key, outcome[key as keyof Outcome]]));
  assert.deepEqual(got, wanted, JSON.stringify(outcome));
  if (typeof text === 'string') assert.equal(outcome.text, text);
  else assert.match(outcome.text, text);
}
