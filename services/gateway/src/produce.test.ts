import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { ProduceRequestSchema, ProduceResponseSchema, ProducerService } from '@fleetmq/gen/client/producer';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import { DomainError } from '@fleetmq/shared';
import { type Bench, collect, eventually, record, startBench } from './testing/gateway-bench.fuzz.ts';

const first = { topic: 't', partition: 0 };
const second = { topic: 't', partition: 1 };

type ProduceInit = Exclude<MessageInitShape<typeof ProduceRequestSchema>, { $typeName: string }>;

async function benchWithTopic(limits?: Record<string, number>): Promise<Bench> {
  const bench = await startBench(limits);
  bench.cluster.createTopic('t', [1, 2]);
  await bench.settled();
  return bench;
}

describe('producing through the gateway', () => {
  test('reaches the leader of each partition, and results keep the order of the request', async () => {
    await using bench = await benchWithTopic();
    const places = [second, first, { topic: 'nope', partition: 0 }, second, { topic: 't', partition: 9 }];
    const { partitions } = await bench.producer.produceBatch({
      partitions: places.map((topicPartition, index) => ({
        topicPartition,
        batch: { records: [record(`${index}`)] },
      })),
    });
    const { OK, TOPIC_NOT_FOUND, PARTITION_NOT_FOUND } = ErrorCode;
    assert.deepEqual(
      partitions.map(({ errorCode, offset, leaderId }) => [errorCode, offset, leaderId]),
      [
        [OK, 0n, '2'],
        [OK, 0n, '1'],
        [TOPIC_NOT_FOUND, 0n, ''],
        [OK, 1n, '2'],
        [PARTITION_NOT_FOUND, 0n, ''],
      ],
    );
    assert.deepEqual(bench.cluster.logs.values(second), ['0', '3']);
    assert.deepEqual(bench.cluster.logs.values(first), ['1']);
  });

  test('follows a leader that has moved before the metadata says so', async () => {
    await using bench = await benchWithTopic();
    bench.cluster.move(first, 2, 'late');
    const produced = bench.producer.produce({ topicPartition: first, records: [record('a')] });
    await eventually(() => bench.cluster.broker(1).calls.length > 0, 'the old leader is asked');
    bench.cluster.announce(first);
    const answer = await produced;
    assert.deepEqual([answer.errorCode, answer.leaderId], [ErrorCode.OK, '2']);
    assert.deepEqual(bench.cluster.logs.values(first), ['a']);
  });

  test('waits for a leader, and at the end says NOT_AVAILABLE without naming internal addresses', async () => {
    await using bench = await benchWithTopic();
    bench.cluster.announce(first, 0);
    await bench.settled();
    const waiting = bench.producer.produce({ topicPartition: first, records: [record('a')] });
    bench.cluster.announce(first, 1);
    assert.equal((await waiting).errorCode, ErrorCode.OK);

    bench.cluster.move(first, 0, 'late');
    const { errorCode, errorMessage, leaderHint, retriable, correlationId } = await bench.producer.produce({
      topicPartition: first,
      records: [record('b')],
      timeout: { nanos: 50_000_000 },
      correlationId: 5n,
    });
    assert.deepEqual([errorCode, leaderHint, retriable, correlationId], [ErrorCode.NOT_AVAILABLE, '', true, 5n]);
    assert.doesNotMatch(errorMessage, /internal|127\.0\.0\.1/);
  });

  test('tries again when a broker cannot be reached', async () => {
    await using bench = await benchWithTopic();
    const { cable } = bench.cluster.broker(1);
    cable.cut();
    const produced = bench.producer.produce({ topicPartition: first, records: [record('a')] });
    bench.cluster.move(first, 2);
    assert.equal((await produced).errorCode, ErrorCode.OK);
    assert.deepEqual(bench.cluster.logs.values(first), ['a']);
  });

  const identities: readonly (readonly [string, ProduceInit, ErrorCode, number])[] = [
    ['nothing to recognise it by', {}, ErrorCode.TIMEOUT, 1],
    ['a producer id', { producerId: 7n }, ErrorCode.OK, 2],
    ['an idempotency key', { idempotencyKey: 'k' }, ErrorCode.OK, 2],
  ];
  for (const [what, init, errorCode, attempts] of identities) {
    test(`a write with ${what}, when the connection is lost behind it: ${attempts} attempts, written once`, async () => {
      await using bench = await benchWithTopic();
      const broker = bench.cluster.broker(1);
      broker.afterAppend = () => {
        if (broker.calls.length === 1) broker.cable.break();
      };
      const answer = await bench.producer.produce({ ...init, topicPartition: first, records: [record('a')] });
      assert.equal(answer.errorCode, errorCode, answer.errorMessage);
      assert.match(answer.errorMessage, errorCode === ErrorCode.OK ? /^$/ : /outcome is unknown/);
      assert.equal(broker.calls.length, attempts);
      assert.deepEqual(bench.cluster.logs.values(first), ['a']);
    });
  }

  test('in a batch each entry decides for itself whether it may be repeated', async () => {
    await using bench = await benchWithTopic();
    const broker = bench.cluster.broker(1);
    broker.afterAppend = () => {
      if (broker.calls.length === 1) broker.cable.break();
    };
    const { partitions } = await bench.producer.produceBatch({
      partitions: [
        { topicPartition: first, batch: { records: [record('plain')] } },
        { topicPartition: first, batch: { records: [record('safe')], producerId: 7n, baseSequence: 3 } },
        { topicPartition: second, batch: { records: [record('elsewhere')] } },
      ],
    });
    const { TIMEOUT, OK } = ErrorCode;
    assert.deepEqual(
      partitions.map(({ errorCode, offset }) => [errorCode, offset]),
      [
        [TIMEOUT, 0n],
        [OK, 1n],
        [OK, 0n],
      ],
    );
    assert.deepEqual(bench.cluster.logs.values(first), ['plain', 'safe']);
  });

  test('leaves a leader that hangs once another has taken over, if the write may be repeated', async () => {
    await using bench = await benchWithTopic();
    const hung = Promise.withResolvers<void>();
    bench.cluster.broker(1).before = () => hung.promise;
    const produced = bench.producer.produce({ topicPartition: first, records: [record('a')], producerId: 7n });
    await eventually(() => bench.cluster.broker(1).calls.length > 0, 'the leader hangs');
    bench.cluster.move(first, 2);
    const answer = await produced;
    assert.deepEqual([answer.errorCode, answer.leaderId], [ErrorCode.OK, '2']);
    assert.equal(bench.cluster.broker(1).calls[0]?.context.signal.aborted, true);
    hung.resolve();
  });

  test('passes on what the leader refuses', async () => {
    await using bench = await benchWithTopic();
    bench.cluster.broker(1).before = () => {
      throw new DomainError('INVALID_ACKS', 'no such level: 77');
    };
    const { errorCode, errorMessage } = await bench.producer.produce({ topicPartition: first });
    assert.deepEqual([errorCode, errorMessage], [ErrorCode.INVALID_ACKS, 'no such level: 77']);
  });

  test('passes on deadline, trace context and cancellation', async () => {
    await using bench = await benchWithTopic();
    const broker = bench.cluster.broker(1);
    const hung = Promise.withResolvers<void>();
    broker.before = () => hung.promise;
    const leaving = new AbortController();
    const headers = { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 'x-user': 'root' };
    const options = { signal: leaving.signal, timeoutMs: 2_000, headers };
    const rejected = assert.rejects(bench.producer.produce({ topicPartition: first }, options), { code: 'CANCELLED' });
    await eventually(() => broker.calls.length > 0, 'the broker is asked');
    const { context, deadlineMs } = broker.calls[0] as (typeof broker.calls)[number];
    assert.ok(deadlineMs !== undefined && deadlineMs <= 2_000 && deadlineMs > 500, `${deadlineMs}`);
    assert.equal(context.header('traceparent'), headers.traceparent);
    assert.equal(context.header('x-user'), undefined);
    leaving.abort();
    await rejected;
    await eventually(() => context.signal.aborted, 'the broker hears of it');
    hung.resolve();
  });

  test('answers by the deadline what is known, and TIMEOUT for the rest', async () => {
    await using bench = await benchWithTopic();
    const hung = Promise.withResolvers<void>();
    bench.cluster.broker(1).before = () => hung.promise;
    const partitions = [first, second].map((topicPartition) => ({ topicPartition, batch: { records: [record('a')] } }));
    const answer = await bench.producer.produceBatch({ partitions }, { timeoutMs: 300 });
    assert.deepEqual(
      answer.partitions.map(({ errorCode }) => errorCode),
      [ErrorCode.TIMEOUT, ErrorCode.OK],
    );
    hung.resolve();
  });

  test('gives out producer ids by any broker that is there', async () => {
    await using bench = await benchWithTopic();
    bench.cluster.broker(1).cable.cut();
    const ids = await Promise.all([1, 2, 3].map(async () => (await bench.producer.initTransaction({})).producerId));
    assert.equal(new Set(ids).size, 3);
  });

  test('refuses another version and too many partitions', async () => {
    await using bench = await benchWithTopic({ 'partitions-per-call': 1 });
    await assert.rejects(bench.producer.produce({ version: { major: 9 }, topicPartition: first }), {
      code: 'UNSUPPORTED_VERSION',
    });
    await assert.rejects(bench.producer.produceBatch({ partitions: [{}, {}] }), { code: 'INVALID_REQUEST' });
  });
});

describe('a produce stream through the gateway', () => {
  const encode = (init: ProduceInit): Uint8Array => toBinary(ProduceRequestSchema, create(ProduceRequestSchema, init));

  test('answers every request under its number, in order per partition', async () => {
    await using bench = await benchWithTopic();
    const call = bench.transport.rawBidi(ProducerService.method.produceStream);
    const count = 200;
    for (let i = 0; i < count; i++) {
      const topicPartition = { topic: 't', partition: i % 2 };
      call.send(encode({ topicPartition, records: [record(`${i}`)], correlationId: BigInt(i) }));
    }
    call.end();
    const seen: [number[], number[]] = [[], []];
    for await (const bytes of call.responses) {
      const { errorCode, correlationId, offset } = fromBinary(ProduceResponseSchema, bytes);
      assert.equal(errorCode, ErrorCode.OK);
      const number = Number(correlationId);
      assert.equal(offset, BigInt(Math.floor(number / 2)));
      seen[(number % 2) as 0 | 1].push(number);
    }
    for (const [partition, numbers] of seen.entries()) {
      assert.equal(numbers.length, count / 2);
      assert.deepEqual(
        numbers,
        [...numbers].sort((left, right) => left - right),
      );
      assert.deepEqual(bench.cluster.logs.values({ topic: 't', partition }), numbers.map(String));
    }
  });

  test('keeps the order when the leader moves in between', async () => {
    await using bench = await benchWithTopic();
    const call = bench.transport.rawBidi(ProducerService.method.produceStream);
    const expected: string[] = [];
    const reading = collect(call.responses);
    for (let i = 0; i < 60; i++) {
      expected.push(`${i}`);
      call.send(encode({ topicPartition: first, records: [record(`${i}`)], correlationId: BigInt(i) }));
      if (i % 20 === 10) {
        const end = bench.cluster.logs.end(first);
        await eventually(() => bench.cluster.logs.end(first) > end, 'something was written');
        bench.cluster.move(first, i === 30 ? 1 : 2, 'late');
        bench.cluster.announce(first);
      }
    }
    call.end();
    const answers = (await reading).map((bytes) => fromBinary(ProduceResponseSchema, bytes));
    assert.deepEqual(
      answers.map(({ errorCode, correlationId }) => [errorCode, Number(correlationId)]),
      expected.map((_, i) => [ErrorCode.OK, i]),
    );
    assert.deepEqual(bench.cluster.logs.values(first), expected);
  });

  test('takes no more than its window while nothing is answered', async () => {
    await using bench = await benchWithTopic({ 'stream-requests': 4 });
    const hung = Promise.withResolvers<void>();
    const asked = (): number => bench.cluster.broker(1).streamed + bench.cluster.broker(2).streamed;
    for (const brokerId of [1, 2]) bench.cluster.broker(brokerId).before = () => hung.promise;
    bench.cluster.createTopic('wide', [1, 2, 1, 2, 1, 2, 1, 2]);
    await bench.settled();
    const call = bench.transport.rawBidi(ProducerService.method.produceStream);
    for (let partition = 0; partition < 8; partition++) {
      call.send(encode({ topicPartition: { topic: 'wide', partition }, records: [record('a')] }));
    }
    call.end();
    await eventually(() => asked() >= 4, 'the window is full');
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(asked(), 4);
    hung.resolve();
    assert.equal((await collect(call.responses)).length, 8);
    assert.equal(asked(), 8);
  });

  test('sends on without waiting for answers', async () => {
    await using bench = await benchWithTopic();
    const hung = Promise.withResolvers<void>();
    bench.cluster.broker(1).before = () => hung.promise;
    const call = bench.transport.rawBidi(ProducerService.method.produceStream);
    for (let i = 0; i < 50; i++) call.send(encode({ topicPartition: first, records: [record(`${i}`)] }));
    call.end();
    await eventually(() => bench.cluster.broker(1).streamed === 50, 'all are under way');
    hung.resolve();
    assert.equal((await collect(call.responses)).length, 50);
  });

  const lost: readonly (readonly [string, bigint, readonly ErrorCode[]])[] = [
    ['without a producer id those under way end as unknown', 0n, [ErrorCode.OK, ErrorCode.TIMEOUT]],
    ['with a producer id nobody notices', 7n, [ErrorCode.OK]],
  ];
  for (const [what, producerId, expected] of lost) {
    test(`when the connection to a leader breaks: ${what}`, async () => {
      await using bench = await benchWithTopic();
      const broker = bench.cluster.broker(1);
      broker.afterAppend = () => {
        if (bench.cluster.logs.end(first) === 5) broker.cable.break();
      };
      const call = bench.transport.rawBidi(ProducerService.method.produceStream);
      for (let i = 0; i < 20; i++) {
        const init = { producerId, baseSequence: i, correlationId: BigInt(i) };
        call.send(encode({ ...init, topicPartition: first, records: [record(`${i}`)] }));
      }
      call.end();
      const answers = (await collect(call.responses)).map((bytes) => fromBinary(ProduceResponseSchema, bytes));
      assert.deepEqual(
        answers.map(({ correlationId }) => Number(correlationId)),
        Array.from({ length: 20 }, (_, i) => i),
      );
      for (const { errorCode } of answers) assert.ok(expected.includes(errorCode), `${errorCode}`);
      const values = bench.cluster.logs.values(first);
      assert.equal(new Set(values).size, values.length, 'nothing is written twice');
      for (const { errorCode, correlationId } of answers) {
        if (errorCode === ErrorCode.OK) assert.ok(values.includes(`${correlationId}`));
      }
    });
  }

  test('a request that nobody could take by its timeout is answered so, and those behind it go on', async () => {
    await using bench = await benchWithTopic();
    bench.cluster.announce(first, 0);
    await bench.settled();
    const call = bench.transport.rawBidi(ProducerService.method.produceStream);
    const timeout = { nanos: 50_000_000 };
    call.send(encode({ topicPartition: first, records: [record('a')], timeout, correlationId: 1n }));
    call.send(encode({ topicPartition: first, records: [record('b')], correlationId: 2n }));
    call.send(encode({ topicPartition: second, records: [record('c')], correlationId: 3n }));
    call.end();
    const answers: (readonly [bigint, ErrorCode])[] = [];
    for await (const bytes of call.responses) {
      const { correlationId, errorCode } = fromBinary(ProduceResponseSchema, bytes);
      answers.push([correlationId, errorCode]);
      if (correlationId === 1n) bench.cluster.announce(first, 1);
    }
    assert.deepEqual(answers, [
      [3n, ErrorCode.OK],
      [1n, ErrorCode.NOT_AVAILABLE],
      [2n, ErrorCode.OK],
    ]);
    assert.deepEqual(bench.cluster.logs.values(first), ['b']);
  });

  test('answers what came before a malformed request, then fails', async () => {
    await using bench = await benchWithTopic();
    const call = bench.transport.rawBidi(ProducerService.method.produceStream);
    call.send(encode({ topicPartition: first, records: [record('a')], correlationId: 1n }));
    call.send(new Uint8Array(20).fill(0xff));
    const numbers: bigint[] = [];
    await assert.rejects(
      async () => {
        for await (const bytes of call.responses) numbers.push(fromBinary(ProduceResponseSchema, bytes).correlationId);
      },
      { code: 'INVALID_REQUEST' },
    );
    assert.deepEqual(numbers, [1n]);
  });

  test('ends with SHUTTING_DOWN behind its answers when the gateway closes', async () => {
    await using bench = await benchWithTopic();
    const call = bench.transport.rawBidi(ProducerService.method.produceStream);
    call.send(encode({ topicPartition: first, records: [record('a')] }));
    const answer = await call.responses.next();
    assert.equal(answer.done, false);
    const ending = assert.rejects(call.responses.next(), { code: 'SHUTTING_DOWN' });
    await bench.gateway.stop();
    await ending;
  });
});
