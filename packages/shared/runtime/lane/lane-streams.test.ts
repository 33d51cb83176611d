import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DomainError } from '@fleetmq/shared';
import {
  bidiMethod,
  bytesOf,
  clientStreamMethod,
  connect,
  counted,
  failsWith,
  serverStreamMethod,
  startLane,
  textOf,
  until,
} from './lane-fixture.ts';

test('a server stream arrives whole and in order', async () => {
  await using server = await startLane({
    serverStream: (request) => counted(Number(textOf(request)), 50_000),
  });
  await using client = connect(server.url);
  let count = 0;
  for await (const message of client.rawServerStream(serverStreamMethod, bytesOf('200'))) {
    assert.equal(message.length, 50_000);
    assert.equal(message[49_999], count++ & 0xff);
  }
  assert.equal(count, 200);
  const empty = client.rawServerStream(serverStreamMethod, bytesOf('0'));
  assert.deepEqual(await empty.next(), { done: true, value: undefined });
});

test('an error in the middle of a stream comes after the messages before it', async () => {
  await using server = await startLane({
    serverStream: async function* () {
      yield bytesOf('one');
      yield bytesOf('two');
      throw new DomainError('CORRUPT_LOG', 'bad block');
    },
  });
  await using client = connect(server.url);
  const got: string[] = [];
  await assert.rejects(async () => {
    for await (const message of client.rawServerStream(serverStreamMethod, bytesOf('x'))) got.push(textOf(message));
  }, failsWith('CORRUPT_LOG'));
  assert.deepEqual(got, ['one', 'two']);
});

test('a consumer that does not read stops the producer within the bounds', async () => {
  let produced = 0;
  await using server = await startLane({
    serverStream: async function* () {
      for (;;) {
        produced += 65_536;
        yield Buffer.alloc(65_536);
      }
    },
  });
  await using client = connect(server.url, {
    limits: { receiveBufferBytes: 1_000_000 },
    windows: { streamBytes: 500_000 },
  });
  const stream = client.rawServerStream(serverStreamMethod, bytesOf('x'));
  await stream.next();
  let before = -1;
  while (produced !== before) {
    before = produced;
    await sleep(50);
  }
  assert.ok(produced < 4_000_000, `${produced} bytes were produced for one message read`);
  for (let i = 0; i < 100; i++) await stream.next();
  assert.ok(produced > before, 'reading sets it going again');
  await stream.return?.();
});

test('a handler that does not read stops the sender within the bounds', async () => {
  const release = Promise.withResolvers<void>();
  await using server = await startLane(
    {
      clientStream: async (requests) => {
        await release.promise;
        let bytes = 0;
        for await (const request of requests) bytes += request.length;
        return bytesOf(String(bytes));
      },
    },
    { limits: { receiveBufferBytes: 500_000 }, listener: { streamWindowBytes: 300_000 } },
  );
  await using client = connect(server.url, { limits: { sendBufferBytes: 200_000 } });
  const call = client.rawBidi(clientStreamMethod);
  let sent = 0;
  while (call.send(Buffer.alloc(50_000))) sent += 50_000;
  sent += 50_000;
  const wait = call.drained().then(() => true);
  for (;;) {
    const drained = await Promise.race([call.drained().then(() => true), sleep(100).then(() => false)]);
    if (!drained) break;
    sent += 50_000;
    call.send(Buffer.alloc(50_000));
  }
  assert.ok(sent < 3_000_000, `${sent} bytes were sent to a handler that reads nothing`);
  assert.throws(() => {
    for (let i = 0; i < 20; i++) {
      call.send(Buffer.alloc(50_000));
      sent += 50_000;
    }
  }, failsWith('LIMIT_EXCEEDED'));
  release.resolve();
  await wait;
  call.end();
  assert.equal(textOf((await call.responses.next()).value as Uint8Array), String(sent));
  assert.equal((await call.responses.next()).done, true);
});

test('a bidi call answers message by message and can be ended from either side', async () => {
  await using server = await startLane({
    bidi: async function* (requests) {
      for await (const request of requests) {
        if (textOf(request) === 'stop') return;
        yield [bytesOf('re: '), request];
      }
    },
  });
  await using client = connect(server.url);
  const first = client.rawBidi(bidiMethod);
  for (const word of ['a', 'b']) {
    first.send(bytesOf(word));
    assert.equal(textOf((await first.responses.next()).value as Uint8Array), `re: ${word}`);
  }
  first.end();
  assert.equal((await first.responses.next()).done, true);

  const second = client.rawBidi(bidiMethod);
  second.send(bytesOf('stop'));
  assert.equal((await second.responses.next()).done, true, 'the server ends first');
  assert.throws(() => second.send(bytesOf('x')), failsWith('CANCELLED'));
  await assert.rejects(second.drained(), failsWith('CANCELLED'));

  const third = client.rawBidi(bidiMethod);
  third.send(bytesOf('a'));
  await third.responses.next();
  third.close();
  await assert.rejects(third.responses.next(), failsWith('CANCELLED'));
  await until(() => server.lane.openCalls === 0, 'the server has closed its calls');
});

test('a call that waits for its connection keeps its order and its end', async () => {
  await using server = await startLane({
    clientStream: async (requests) => {
      let text = '';
      for await (const request of requests) text += textOf(request);
      return bytesOf(text);
    },
  });
  await using client = connect(server.url);
  const call = client.rawBidi(clientStreamMethod);
  for (const word of ['a', 'b', 'c']) call.send(bytesOf(word));
  call.end();
  assert.equal(textOf((await call.responses.next()).value as Uint8Array), 'abc');
});
