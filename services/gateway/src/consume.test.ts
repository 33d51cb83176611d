import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import {
  ConsumerService,
  type FetchResponse,
  OffsetBoundary,
  SubscribeRequestSchema,
} from '@fleetmq/gen/client/consumer';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import { type Bench, eventually, record, startBench } from './testing/gateway-bench.fuzz.ts';

const first = { topic: 't', partition: 0 };
const second = { topic: 't', partition: 1 };
const seconds = (value: number) => ({ seconds: BigInt(value) });

async function benchWithTopic(limits?: Record<string, number>): Promise<Bench> {
  const bench = await startBench(limits);
  bench.cluster.createTopic('t', [1, 2]);
  await bench.settled();
  return bench;
}

function texts(partitions: FetchResponse['partitions']): string[] {
  return partitions.flatMap(({ batches }) =>
    batches.flatMap(({ records }) => records.map(({ value }) => new TextDecoder().decode(value))),
  );
}

describe('fetching through the gateway', () => {
  test('gathers from all leaders in the order of the request', async () => {
    await using bench = await benchWithTopic();
    bench.cluster.logs.append(first, [record('a'), record('b')]);
    bench.cluster.logs.append(second, [record('c')]);
    const places = [second, { topic: 'nope', partition: 0 }, first];
    const partitions = places.map((topicPartition) => ({ topicPartition, fetchOffset: 0n }));
    const answer = await bench.consumer.fetch({ partitions });
    assert.deepEqual(
      answer.partitions.map(({ topicPartition, errorCode }) => [topicPartition?.partition, errorCode]),
      [
        [1, ErrorCode.OK],
        [0, ErrorCode.TOPIC_NOT_FOUND],
        [0, ErrorCode.OK],
      ],
    );
    assert.deepEqual(texts(answer.partitions), ['c', 'a', 'b']);
    assert.equal(answer.partitions[2]?.highWatermark, 2n);
  });

  test('long-polls: the first leader with data answers, the other polls are cancelled', async () => {
    await using bench = await benchWithTopic();
    bench.cluster.logs.append(second, [record('old')]);
    const partitions = [
      { topicPartition: first, fetchOffset: 0n },
      { topicPartition: second, fetchOffset: 1n },
    ];
    const startedAt = performance.now();
    const polled = bench.consumer.fetch({ partitions, maxWait: seconds(20), minBytes: 1 });
    // Each leader is asked twice: for a first look, and to wait.
    await eventually(() => [1, 2].every((id) => bench.cluster.broker(id).calls.length === 2), 'both poll');
    bench.cluster.logs.append(first, [record('new')]);
    const answer = await polled;
    assert.ok(performance.now() - startedAt < 5_000);
    assert.deepEqual(texts(answer.partitions), ['new']);
    const [, quiet] = answer.partitions;
    assert.deepEqual([quiet?.errorCode, quiet?.highWatermark, quiet?.nextOffset], [ErrorCode.OK, 1n, 1n]);
    const cancelled = bench.cluster.broker(2).calls[1]?.context.signal;
    await eventually(() => cancelled?.aborted === true, 'the other poll is cancelled');
  });

  test('answers with nothing when the wait is over', async () => {
    await using bench = await benchWithTopic();
    const partitions = [first, second].map((topicPartition) => ({ topicPartition, fetchOffset: 0n }));
    for (const asked of [partitions, partitions.slice(0, 1)]) {
      const answer = await bench.consumer.fetch({ partitions: asked, maxWait: { nanos: 50_000_000 } });
      assert.deepEqual(texts(answer.partitions), []);
      assert.ok(answer.partitions.every(({ errorCode }) => errorCode === ErrorCode.OK));
    }
  });

  test('follows a leader that moves, and never shows NOT_LEADER', async () => {
    await using bench = await benchWithTopic();
    bench.cluster.logs.append(first, [record('a')]);
    bench.cluster.move(first, 2, 'late');
    const fetched = bench.consumer.fetch({ partitions: [{ topicPartition: first }], maxWait: seconds(5) });
    await eventually(() => bench.cluster.broker(1).calls.length > 0, 'the old leader is asked');
    bench.cluster.announce(first);
    assert.deepEqual(texts((await fetched).partitions), ['a']);

    bench.cluster.move(first, 0, 'late');
    const answer = await bench.consumer.fetch({ partitions: [{ topicPartition: first }] });
    assert.equal(answer.partitions[0]?.errorCode, ErrorCode.NOT_AVAILABLE);
    assert.equal(answer.partitions[0]?.leaderHint, '');
  });

  test('gives what there is when one of the leaders is gone', async () => {
    await using bench = await benchWithTopic();
    bench.cluster.logs.append(second, [record('c')]);
    bench.cluster.broker(1).cable.cut();
    const partitions = [first, second].map((topicPartition) => ({ topicPartition, fetchOffset: 0n }));
    const answer = await bench.consumer.fetch({ partitions, maxWait: seconds(10) });
    assert.deepEqual(
      answer.partitions.map(({ errorCode }) => errorCode),
      [ErrorCode.NOT_AVAILABLE, ErrorCode.OK],
    );
    assert.deepEqual(texts(answer.partitions), ['c']);
  });

  test('refuses a reader that poses as a replica, and passes on what is out of range', async () => {
    await using bench = await benchWithTopic();
    const partitions = [{ topicPartition: first, fetchOffset: 1_000n }];
    await assert.rejects(bench.consumer.fetch({ replicaId: 2, partitions }), { code: 'UNAUTHORIZED' });
    const answer = await bench.consumer.fetch({ partitions, maxWait: seconds(10) });
    assert.equal(answer.partitions[0]?.errorCode, ErrorCode.OFFSET_OUT_OF_RANGE);
  });
});

describe('offsets and whole topics through the gateway', () => {
  test('ListOffsets and DeleteRecords ask each leader', async () => {
    await using bench = await benchWithTopic();
    bench.cluster.logs.append(first, [record('a'), record('b')]);
    bench.cluster.logs.append(second, [record('c')]);
    const position = { position: { case: 'boundary', value: OffsetBoundary.LATEST } } as const;
    const ends = await bench.consumer.listOffsets({
      partitions: [second, first, { topic: 't', partition: 7 }].map((topicPartition) => ({ topicPartition, position })),
    });
    assert.deepEqual(
      ends.partitions.map(({ offset, errorCode }) => [offset, errorCode]),
      [
        [1n, ErrorCode.OK],
        [2n, ErrorCode.OK],
        [0n, ErrorCode.PARTITION_NOT_FOUND],
      ],
    );
    bench.cluster.move(first, 2, 'late');
    const deleting = bench.consumer.deleteRecords({ partitions: [{ topicPartition: first, beforeOffset: 1n }] });
    await eventually(
      () => bench.cluster.broker(1).calls.some(({ method }) => method === 'DeleteRecords'),
      'the old leader is asked',
    );
    bench.cluster.announce(first);
    assert.equal((await deleting).partitions[0]?.logStartOffset, 1n);
  });

  test('FetchBatch reads topics to their ends by its cursor', async () => {
    await using bench = await benchWithTopic();
    bench.cluster.createTopic('u', [2]);
    await bench.settled();
    const expected: string[] = [];
    for (let i = 0; i < 20; i++) {
      bench.cluster.logs.append(i % 3 === 2 ? { topic: 'u', partition: 0 } : { topic: 't', partition: i % 3 }, [
        record(`${i}`),
      ]);
      expected.push(`${i}`);
    }
    const seen: string[] = [];
    let cursor: Uint8Array<ArrayBufferLike> = new Uint8Array();
    for (let calls = 0; seen.length < expected.length; calls++) {
      assert.ok(calls < 20, 'the cursor moves on');
      const answer = await bench.consumer.fetchBatch({ topics: ['t', 'u', 'nope'], cursor: new Uint8Array(cursor) });
      assert.equal(answer.partitions[0]?.errorCode, ErrorCode.TOPIC_NOT_FOUND);
      seen.push(...texts(answer.partitions));
      cursor = answer.cursor;
    }
    assert.deepEqual(seen.sort(), expected.sort());
    const rest = await bench.consumer.fetchBatch({ topics: ['t', 'u'], cursor: new Uint8Array(cursor) });
    assert.deepEqual(rest.partitions, []);
  });

  test('FetchBatch begins where it is told, and at the end of what is new', async () => {
    await using bench = await benchWithTopic();
    bench.cluster.logs.append(first, [record('old')]);
    const start = { position: { case: 'boundary', value: OffsetBoundary.LATEST } } as const;
    const { cursor, partitions } = await bench.consumer.fetchBatch({ topics: ['t'], start });
    assert.deepEqual(partitions, []);
    bench.cluster.logs.append(first, [record('new')]);
    assert.deepEqual(texts((await bench.consumer.fetchBatch({ topics: ['t'], start, cursor })).partitions), ['new']);
  });

  test('FetchBatch takes no foreign cursor, and none of a topic that was made anew', async () => {
    await using bench = await benchWithTopic();
    bench.cluster.logs.append(first, [record('a')]);
    await assert.rejects(bench.consumer.fetchBatch({ topics: ['t'], cursor: new Uint8Array(12) }), {
      code: 'INVALID_REQUEST',
    });
    const { cursor } = await bench.consumer.fetchBatch({ topics: ['t'] });
    bench.cluster.deleteTopic('t');
    bench.cluster.createTopic('t', [1]);
    await bench.settled();
    assert.deepEqual(texts((await bench.consumer.fetchBatch({ topics: ['t'], cursor })).partitions), ['a']);
  });
});

describe('subscribing through the gateway', () => {
  const heartbeatInterval = { nanos: 100_000_000 };

  test('merges the leaders, follows them as they move, and shows each record once and in order', async () => {
    await using bench = await benchWithTopic();
    const leaving = new AbortController();
    const stream = bench.consumer.subscribe(
      { partitions: [{ topicPartition: first }, { topicPartition: second }], heartbeatInterval },
      { signal: leaving.signal },
    );
    const seen: Record<number, string[]> = { 0: [], 1: [] };
    const reading = (async () => {
      for await (const { partitions } of stream) {
        for (const each of partitions) {
          assert.equal(each.errorCode, ErrorCode.OK);
          seen[each.topicPartition?.partition ?? -1]?.push(...texts([each]));
        }
        if (Object.values(seen).flat().length === 60) break;
      }
    })();
    for (let i = 0; i < 30; i++) {
      for (const place of [first, second]) bench.cluster.logs.append(place, [record(`${i}`)]);
      if (i % 10 === 5) {
        await eventually(() => (seen[0]?.length ?? 0) >= i, 'the reader keeps up');
        bench.cluster.move(first, i === 15 ? 1 : 2, i === 25 ? 'late' : 'at once');
        bench.cluster.announce(first);
      }
    }
    await reading;
    const expected = Array.from({ length: 30 }, (_, i) => `${i}`);
    assert.deepEqual(seen, { 0: expected, 1: expected });
    leaving.abort();
  });

  test('survives a broker that goes away', async () => {
    await using bench = await benchWithTopic();
    bench.cluster.logs.append(first, [record('a')]);
    const seen: string[] = [];
    for await (const { partitions } of bench.consumer.subscribe({ partitions: [{ topicPartition: first }] })) {
      seen.push(...texts(partitions));
      if (seen.length === 2) break;
      bench.cluster.broker(1).cable.cut();
      bench.cluster.logs.append(first, [record('b')]);
      bench.cluster.move(first, 2);
    }
    assert.deepEqual(seen, ['a', 'b']);
  });

  test('sends heartbeats, resumes by its cursor, and ends at its age with status OK', async () => {
    await using bench = await benchWithTopic();
    const partitions = [first, second].map((topicPartition) => ({ topicPartition }));
    bench.cluster.logs.append(first, [record('a')]);
    let heartbeats = 0;
    let cursor: Uint8Array<ArrayBufferLike> = new Uint8Array();
    const maxAge = { nanos: 350_000_000 };
    for await (const answer of bench.consumer.subscribe({ partitions, heartbeatInterval, maxAge })) {
      if (answer.partitions.length === 0) heartbeats++;
      cursor = answer.cursor;
    }
    assert.ok(heartbeats >= 2, `${heartbeats} heartbeats`);
    bench.cluster.logs.append(first, [record('b')]);
    bench.cluster.logs.append(second, [record('c')]);
    const seen: string[] = [];
    for await (const answer of bench.consumer.subscribe({ partitions, cursor: new Uint8Array(cursor) })) {
      seen.push(...texts(answer.partitions));
      if (seen.length === 2) break;
    }
    assert.deepEqual(seen.sort(), ['b', 'c']);
  });

  test('begins at the end that there was when it was asked, also behind a change of leaders', async () => {
    await using bench = await benchWithTopic();
    bench.cluster.logs.append(first, [record('old')]);
    const start = { position: { case: 'boundary', value: OffsetBoundary.LATEST } } as const;
    const stream = bench.consumer.subscribe({ partitions: [{ topicPartition: first, start }], heartbeatInterval });
    const iterator = stream[Symbol.asyncIterator]();
    const heartbeat = await iterator.next();
    assert.deepEqual(heartbeat.value?.partitions, []);
    bench.cluster.broker(1).cable.cut();
    bench.cluster.logs.append(first, [record('new')]);
    bench.cluster.move(first, 2);
    for (;;) {
      const next = await iterator.next();
      if (next.value?.partitions.length === 0) continue;
      assert.deepEqual(texts(next.value?.partitions ?? []), ['new']);
      break;
    }
    await iterator.return?.();
  });

  test('does not read on while its reader does not', async () => {
    await using bench = await benchWithTopic({ 'subscription-buffer-bytes': 16_384 });
    const value = 'x'.repeat(50_000);
    const count = 400;
    for (let i = 0; i < count; i++) bench.cluster.logs.append(first, [record(value)]);
    const request = create(SubscribeRequestSchema, { partitions: [{ topicPartition: first }] });
    const { subscribe } = ConsumerService.method;
    const stream = bench.transport.rawServerStream(subscribe, toBinary(SubscribeRequestSchema, request));
    await stream.next();
    const broker = bench.cluster.broker(1);
    let pushed = -1;
    let still = 0;
    // It stands still once every buffer on the way is full, long before the 100 messages of the log.
    await eventually(() => {
      still = pushed === broker.pushed ? still + 1 : 0;
      pushed = broker.pushed;
      return still === 50;
    }, 'the broker stands still');
    assert.ok(pushed < 90, `${pushed} of 100 messages were taken`);
    await stream.return?.();
    await eventually(() => broker.calls[0]?.context.signal.aborted === true, 'the broker is left');
  });

  test('tells once what cannot be read, and ends when nothing is left', async () => {
    await using bench = await benchWithTopic();
    const codes: number[] = [];
    const partitions = [
      { topicPartition: first, start: { position: { case: 'offset', value: 99n } } as const },
      { topicPartition: { topic: 'nope', partition: 0 } },
      { topicPartition: second },
    ];
    for await (const answer of bench.consumer.subscribe({ partitions, heartbeatInterval })) {
      codes.push(...answer.partitions.map(({ errorCode }) => errorCode));
      if (codes.length === 2) bench.cluster.deleteTopic('t');
    }
    assert.deepEqual(codes, [ErrorCode.TOPIC_NOT_FOUND, ErrorCode.OFFSET_OUT_OF_RANGE, ErrorCode.TOPIC_NOT_FOUND]);
  });

  test('refuses groups, doubles, and another version', async () => {
    await using bench = await benchWithTopic();
    const refused = async (request: Parameters<Bench['consumer']['subscribe']>[0], code: string): Promise<void> => {
      await assert.rejects(
        async () => {
          for await (const _ of bench.consumer.subscribe(request)) assert.fail('there is nothing to read');
        },
        { code },
      );
    };
    await refused({ groupId: 'g' }, 'UNIMPLEMENTED');
    await refused({}, 'INVALID_REQUEST');
    await refused({ partitions: [{ topicPartition: first }, { topicPartition: first }] }, 'INVALID_REQUEST');
    await refused({ version: { major: 2 }, partitions: [{ topicPartition: first }] }, 'UNSUPPORTED_VERSION');
  });

  test('ends cleanly when the gateway closes', async () => {
    await using bench = await benchWithTopic();
    const stream = bench.consumer.subscribe({ partitions: [{ topicPartition: first }], heartbeatInterval });
    const iterator = stream[Symbol.asyncIterator]();
    await iterator.next();
    const stopping = bench.gateway.stop();
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next());
    await stopping;
  });
});
