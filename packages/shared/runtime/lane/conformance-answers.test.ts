/** What gRPC over HTTP/2 says of a client, answer by answer, for the lane's client and for Connect's. */
import assert from 'node:assert/strict';
import type { ServerHttp2Stream } from 'node:http2';
import { after, before, describe, test } from 'node:test';
import { errorNameOfStatus, statusOf } from '@fleetmq/shared';
import { type AnswerCase, answerCases } from './conformance-answer-cases-fixture.ts';
import { type CallResult, type ConformanceClient, connectClient, laneClient } from './conformance-clients-fixture.ts';
import { startHttp2 } from './peer-fixture.ts';

describe('the lane', () => {
  const peer = startAnswering(laneClient);
  for (const each of answerCases) {
    test(each.name, { timeout: 60_000 }, async () => {
      const status = each.status ?? 0;
      const code = each.code ?? (status === 0 ? 'OK' : errorNameOfStatus(status));
      if (code !== 'OK' && statusOf(code) !== status) assert.ok(each.why, 'a difference has a reason');
      const result = await peer.call(each);
      assert.equal(result.code, code, JSON.stringify(result));
      compare(result, each);
      if (each.outcomeUnknown === true) assert.ok(result.outcomeUnknown, JSON.stringify(result));
    });
  }
});

describe('Connect', () => {
  const peer = startAnswering(connectClient);
  for (const each of answerCases) {
    test(each.name, { timeout: 60_000 }, async () => {
      const result = await peer.call(each);
      assert.equal(result.status, each.connect?.status ?? each.status ?? 0, JSON.stringify(result));
      compare(result, each);
    });
  }
});

function compare(result: CallResult, { messages = [], text }: AnswerCase): void {
  assert.deepEqual(result.messages, messages);
  if (typeof text === 'string') assert.equal(result.text, text);
  else if (text !== undefined) assert.match(result.text, text);
}

/** A client, and a server that answers each of its calls as the case says. */
function startAnswering(connect: (url: string, readMaxBytes: number) => ConformanceClient) {
  let server: Awaited<ReturnType<typeof startHttp2>>;
  let client: ConformanceClient;
  let answer: (stream: ServerHttp2Stream) => void = () => undefined;
  before(async () => {
    server = await startHttp2((stream) => answer(stream));
    client = connect(server.url, 20_000);
  });
  after(async () => {
    await client[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });
  return {
    call(each: AnswerCase): Promise<CallResult> {
      answer = each.answer;
      return client.call({ kind: each.kind, requests: ['a'] });
    },
  };
}
