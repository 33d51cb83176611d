import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConsumerService } from '@fleetmq/gen/client/consumer';
import { ProducerService } from '@fleetmq/gen/client/producer';
import { DomainError, seededRandom } from '@fleetmq/shared';
import { rawBidi, rawServerStream, rawUnary, type ServiceRoutes } from '@fleetmq/shared/runtime';
import { SimNetwork } from './network.ts';
import { SimProcess } from './process.ts';
import { Scheduler } from './scheduler.ts';
import { calmNetwork } from './seed.ts';

const { produce, produceStream } = ProducerService.method;
const { subscribe } = ConsumerService.method;

/** A client at address 2, and at address 1 a server that doubles bytes, counts, and sends back what it gets. */
function open() {
  const scheduler = new Scheduler();
  const { time } = scheduler;
  const bugs: unknown[] = [];
  const network = new SimNetwork({
    ...{ time, random: seededRandom(3), conditions: calmNetwork(10, 0), breakMs: 500, keepaliveMs: 2_000 },
    onBug: (error) => bugs.push(error),
  });
  const client = new SimProcess({ name: 'client', time });
  const server = new SimProcess({ name: 'server', time });
  /** What the server has seen. */
  const seen = { sent: 0, ended: '', echoed: 0, deadlineMs: 0, reads: Promise.resolve() };
  const producing: ServiceRoutes = {
    service: ProducerService,
    typed: {},
    raw: [
      rawUnary(produce, async (request, { deadlineMs, header }) => {
        seen.deadlineMs = deadlineMs ?? 0;
        if (request.length === 0) throw new DomainError('NOT_LEADER', 'not here', { leaderHint: '3@b:3' });
        return [request, new TextEncoder().encode(header('name') ?? ''), request];
      }),
      rawBidi(produceStream, async function* (requests, { signal }) {
        signal.addEventListener('abort', () => {
          seen.ended = (signal.reason as DomainError).code;
        });
        await seen.reads;
        for await (const request of requests) {
          seen.echoed++;
          yield request;
        }
      }),
    ],
  };
  const consuming: ServiceRoutes = {
    service: ConsumerService,
    typed: {},
    raw: [
      rawServerStream(subscribe, async function* (_, { signal }) {
        signal.addEventListener('abort', () => {
          seen.ended = (signal.reason as DomainError).code;
        });
        for (seen.sent = 0; seen.sent < 100; seen.sent++) yield new Uint8Array([seen.sent, ...new Array(99).fill(0)]);
        await new Promise(() => undefined);
      }),
    ],
  };
  network.listen(1, server, [producing, consuming]);
  const lane = network.lane(2, client, 1, { streamBytes: 1_000, sendBufferBytes: 500 });
  const pass = (ms: number) => scheduler.run(time.nowMs + ms, () => false);
  /** Of work that ends within so many virtual ms; its error's code. */
  const outcome = async (work: Promise<unknown>, withinMs = 60_000): Promise<unknown> => {
    let result: unknown;
    let isDone = false;
    const settle = (value: unknown): void => {
      result = value instanceof DomainError ? value.code : value;
      isDone = true;
    };
    work.then(settle, settle);
    await scheduler.run(time.nowMs + withinMs, () => isDone);
    return isDone ? result : 'nothing';
  };
  return { network, client, server, lane, seen, bugs, pass, outcome, time };
}

const bytes = (length: number, value = 1): Uint8Array => new Uint8Array(length).fill(value);

describe('simulated lane', () => {
  test('a raw call has its answer, its headers, its deadline and its errors', async () => {
    const { lane, seen, outcome, time } = open();
    const options = { headers: { name: 'x' }, timeoutMs: 1_000 };
    assert.deepEqual(await outcome(lane.rawUnary(produce, bytes(1), options)), new Uint8Array([1, 120, 1]));
    assert.deepEqual([time.nowMs, seen.deadlineMs], [20, 1_000]);
    const error = await outcome(lane.rawUnary(produce, bytes(0)).catch((thrown: DomainError) => thrown.leaderHint));
    assert.equal(error, '3@b:3');
  });

  test('lost answers, nobody there, and a caller who gives up', async () => {
    const { network, lane, client, outcome, time, bugs } = open();
    network.cut(1, 2);
    assert.equal(await outcome(lane.rawUnary(produce, bytes(1), { timeoutMs: 700 })), 'TIMEOUT');
    assert.equal(time.nowMs, 700);
    network.healAll();
    assert.equal(await outcome(network.lane(2, client, 9).rawUnary(produce, bytes(1))), 'NOT_AVAILABLE');
    const leaving = new AbortController();
    const call = lane.rawUnary(produce, bytes(1), { signal: leaving.signal });
    leaving.abort(new DomainError('CANCELLED', 'enough'));
    assert.equal(await outcome(call), 'CANCELLED');
    assert.deepEqual(bugs, []);
  });

  test('a reader who takes nothing stops the sender; who leaves ends the call', async () => {
    const { lane, seen, pass } = open();
    const answers = lane.rawServerStream(subscribe, bytes(1));
    await pass(1_000);
    assert.ok(seen.sent >= 10 && seen.sent <= 12, `${seen.sent} sent into a window of 10`);
    const taken: number[] = [];
    const read = async (): Promise<void> => {
      for await (const [number] of answers) {
        taken.push(number as number);
        if (taken.length === 50) return;
      }
    };
    void read();
    await pass(5_000);
    assert.deepEqual(
      taken,
      Array.from({ length: 50 }, (_, index) => index),
    );
    assert.equal(seen.ended, 'CANCELLED');
  });

  test('a server that reads nothing stops the client, and is not buried', async () => {
    const { lane, seen, pass, outcome } = open();
    let read = (): void => undefined;
    seen.reads = new Promise((resolve) => {
      read = () => resolve(undefined);
    });
    const call = lane.rawBidi(produceStream);
    let sent = 0;
    while (call.send(bytes(100))) sent++;
    assert.ok(sent >= 14 && sent <= 16, `${sent} sent: a window of 10 and a buffer of 5`);
    const more = (): void => {
      for (let i = 0; i < 10; i++) call.send(bytes(100));
    };
    assert.throws(more, { code: 'LIMIT_EXCEEDED' });
    const drained = call.drained();
    assert.equal(await outcome(drained, 1_000), 'nothing');
    read();
    assert.equal(await outcome(drained), undefined);
    call.end();
    let answers = 0;
    const count = async (): Promise<void> => {
      for await (const _ of call.responses) answers++;
    };
    assert.equal(await outcome(count()), undefined);
    assert.equal(answers, seen.echoed);
    assert.throws(() => call.send(bytes(1)), { code: 'CANCELLED' });
    await pass(10);
  });

  test('a cut in the middle breaks a stream at both ends', async () => {
    const { network, lane, seen, pass, outcome } = open();
    const call = lane.rawBidi(produceStream);
    call.send(bytes(1));
    assert.deepEqual(await outcome(call.responses.next()), { done: false, value: bytes(1) });
    network.cut(2, 1);
    call.send(bytes(1));
    assert.equal(await outcome(call.responses.next(), 600), 'NOT_AVAILABLE');
    await pass(1_000);
    assert.equal(seen.ended, 'NOT_AVAILABLE');
    assert.throws(() => call.send(bytes(1)), { code: 'NOT_AVAILABLE' });
  });

  test('half-open connections end by PINGs: no power, a pause, a link that stays cut', async () => {
    const faults: ((opened: ReturnType<typeof open>) => void)[] = [
      ({ network, server }) => {
        server.kill();
        network.ended(server, true);
      },
      ({ network, server }) => {
        server.pause();
        network.paused(server);
      },
      ({ network }) => network.cut(1, 2),
    ];
    for (const fault of faults) {
      const opened = open();
      const { lane, pass, outcome, time } = opened;
      const call = lane.rawBidi(produceStream);
      await pass(100);
      fault(opened);
      const next = call.responses.next();
      assert.equal(await outcome(next, 1_900), 'nothing');
      assert.equal(await outcome(next), 'NOT_AVAILABLE');
      assert.equal(time.nowMs, 2_100);
    }
  });

  test('a killed server resets its streams; a dead client hears nothing', async () => {
    const { network, lane, client, server, pass, outcome, time } = open();
    const call = lane.rawBidi(produceStream);
    await pass(100);
    server.kill();
    network.ended(server, false);
    assert.equal(await outcome(call.responses.next()), 'NOT_AVAILABLE');
    assert.equal(time.nowMs, 110);
    client.kill();
    assert.equal(await outcome(lane.rawUnary(produce, bytes(1))), 'nothing');
  });
});
