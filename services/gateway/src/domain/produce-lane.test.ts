import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { ProduceRequestSchema, ProduceResponseSchema } from '@fleetmq/gen/client/producer';
import type { ErrorCode } from '@fleetmq/gen/common/errors';
import { DomainError, type ErrorName, errorNumber } from '@fleetmq/shared';
import fc from 'fast-check';
import { produceError, readProduce, readProduceCode } from './produce.ts';
import { type LaneAnswer, type LaneRequest, ProduceLane } from './produce-lane.ts';
import { failureInBody } from './retry.ts';

const timeoutMs = 1_000;

function headOf(number: number, isSafe: boolean) {
  const init = { topicPartition: { topic: 't', partition: 0 }, correlationId: BigInt(number), baseSequence: number };
  const message = create(ProduceRequestSchema, { ...init, producerId: isSafe ? 7n : 0n, timeout: { seconds: 1n } });
  return readProduce(toBinary(ProduceRequestSchema, message));
}

function answerOf(request: LaneRequest, code: ErrorName | 'OK'): LaneAnswer {
  const { correlationId } = request.head;
  const errorCode = (code === 'OK' ? 0 : errorNumber(code)) as ErrorCode;
  const content = toBinary(ProduceResponseSchema, create(ProduceResponseSchema, { correlationId, errorCode }));
  return { failure: code === 'OK' ? undefined : failureInBody(code, code), content };
}

const newLane = (): ProduceLane =>
  new ProduceLane({ topic: 't', partition: 0 }, { refuse: produceError, graceMs: 500 });

const upstream = { name: 'first' };
const other = { name: 'second' };

function sendAll(lane: ProduceLane, to: object, nowMs = 0): LaneRequest[] {
  const sent: LaneRequest[] = [];
  for (let request = lane.send(to, nowMs); request !== undefined; request = lane.send(to, nowMs)) sent.push(request);
  return sent;
}

function outcomes(lane: ProduceLane): (readonly [number, string])[] {
  return lane.answered().map((request) => {
    const { correlationId } = fromBinary(ProduceResponseSchema, request.answer as Uint8Array);
    return [Number(correlationId), readProduceCode(request.answer as Uint8Array).code];
  });
}

describe('a lane of a produce stream', () => {
  test('sends without waiting, and answers in order', () => {
    const lane = newLane();
    for (let i = 0; i < 3; i++) lane.add(headOf(i, false), 0);
    const sent = sendAll(lane, upstream);
    assert.equal(sent.length, 3);
    lane.take(sent[1] as LaneRequest, answerOf(sent[1] as LaneRequest, 'OK'));
    assert.deepEqual(outcomes(lane), []);
    lane.take(sent[0] as LaneRequest, answerOf(sent[0] as LaneRequest, 'OK'));
    assert.deepEqual(outcomes(lane), [
      [0, 'OK'],
      [1, 'OK'],
    ]);
    assert.equal(lane.isEmpty, false);
  });

  test('after a failure waits for what is under way, then sends the failed ones again, in order', () => {
    const lane = newLane();
    for (let i = 0; i < 3; i++) lane.add(headOf(i, false), 0);
    const sent = sendAll(lane, upstream);
    lane.take(sent[0] as LaneRequest, answerOf(sent[0] as LaneRequest, 'NOT_LEADER'));
    lane.add(headOf(3, false), 0);
    assert.deepEqual(sendAll(lane, other), [], 'two are under way');
    lane.take(sent[1] as LaneRequest, answerOf(sent[1] as LaneRequest, 'NOT_LEADER'));
    assert.equal(lane.recover(), false);
    lane.take(sent[2] as LaneRequest, answerOf(sent[2] as LaneRequest, 'NOT_AVAILABLE'));
    assert.equal(lane.recover(), true);
    assert.deepEqual(
      sendAll(lane, other).map((request) => Number(request.head.correlationId)),
      [0, 1, 2, 3],
    );
  });

  test('does not send a request again behind a later one that is written', () => {
    const lane = newLane();
    for (let i = 0; i < 3; i++) lane.add(headOf(i, false), 0);
    const sent = sendAll(lane, upstream);
    for (const [index, code] of (['NOT_LEADER', 'OK', 'NOT_LEADER'] as const).entries()) {
      lane.take(sent[index] as LaneRequest, answerOf(sent[index] as LaneRequest, code));
    }
    assert.equal(lane.recover(), true);
    assert.deepEqual(outcomes(lane), [
      [0, 'NOT_AVAILABLE'],
      [1, 'OK'],
    ]);
    assert.deepEqual(
      sendAll(lane, other).map((request) => Number(request.head.correlationId)),
      [2],
    );
  });

  test('takes a gap in the sequence behind a failed request for its doing, and any other for an answer', () => {
    const lane = newLane();
    for (let i = 0; i < 2; i++) lane.add(headOf(i, true), 0);
    let sent = sendAll(lane, upstream);
    lane.take(sent[0] as LaneRequest, answerOf(sent[0] as LaneRequest, 'NOT_LEADER'));
    lane.take(sent[1] as LaneRequest, answerOf(sent[1] as LaneRequest, 'OUT_OF_ORDER_SEQUENCE'));
    assert.equal(lane.recover(), true);
    sent = sendAll(lane, upstream);
    assert.equal(sent.length, 2);
    lane.take(sent[0] as LaneRequest, answerOf(sent[0] as LaneRequest, 'OUT_OF_ORDER_SEQUENCE'));
    assert.deepEqual(outcomes(lane), [[0, 'OUT_OF_ORDER_SEQUENCE']]);
  });

  test('a lost connection: what may be repeated is sent again, the rest is unknown', () => {
    const lane = newLane();
    lane.add(headOf(0, false), 0);
    lane.add(headOf(1, true), 0);
    sendAll(lane, upstream);
    lane.lose({ code: 'NOT_AVAILABLE', message: 'lost', outcomeUnknown: true });
    assert.equal(lane.recover(), true);
    assert.deepEqual(outcomes(lane), [[0, 'TIMEOUT']]);
    assert.equal(sendAll(lane, other).length, 1);
  });

  test('behind an unknown outcome no answer says that nothing was written', () => {
    for (const end of ['expire', 'NOT_ENOUGH_REPLICAS'] as const) {
      const lane = newLane();
      lane.add(headOf(0, true), 0);
      sendAll(lane, upstream);
      lane.lose({ code: 'NOT_AVAILABLE', message: 'lost', outcomeUnknown: true });
      lane.recover();
      if (end === 'expire') lane.expire(timeoutMs);
      else for (const request of sendAll(lane, other)) lane.take(request, answerOf(request, end));
      assert.deepEqual(outcomes(lane), [[0, 'TIMEOUT']], end);
    }
  });

  test('answers what has waited too long, and tells when to look again', () => {
    const lane = newLane();
    lane.add(headOf(0, false), 0);
    sendAll(lane, upstream);
    lane.add(headOf(1, false), 100);
    assert.equal(lane.expire(500), 1_100);
    assert.equal(lane.expire(1_100), 1_500);
    assert.deepEqual(outcomes(lane), [], 'the first one is not answered yet');
    assert.equal(lane.expire(1_500), Number.POSITIVE_INFINITY);
    assert.deepEqual(outcomes(lane), [
      [0, 'TIMEOUT'],
      [1, 'NOT_AVAILABLE'],
    ]);
  });

  test('a partition that does not exist', () => {
    const lane = newLane();
    for (let i = 0; i < 2; i++) lane.add(headOf(i, false), 0);
    lane.refuseWaiting(new DomainError('TOPIC_NOT_FOUND', 'there is no topic t'));
    assert.deepEqual(outcomes(lane), [
      [0, 'TOPIC_NOT_FOUND'],
      [1, 'TOPIC_NOT_FOUND'],
    ]);
    assert.equal(lane.isEmpty, true);
  });
});

/** What was sent to a broker and not handled yet. */
interface Wire {
  readonly to: object;
  readonly queue: LaneRequest[];
}

describe('a lane under random faults', () => {
  /** One partition with two brokers over one log; the true leader may differ from the one that is asked. */
  class World {
    readonly log: number[] = [];
    readonly lane = newLane();
    readonly answers = new Map<number, string>();
    readonly isSafe: boolean;
    readonly #wires: readonly Wire[] = [upstream, other].map((to) => ({ to, queue: [] }));
    #leader = 0;
    #believed = 0;
    #next = 0;
    #nowMs = 0;

    constructor(isSafe: boolean) {
      this.isSafe = isSafe;
    }

    step(kind: string, value: number): void {
      if (kind === 'add') this.lane.add(headOf(this.#next++, this.isSafe), this.#nowMs);
      else if (kind === 'send') this.#send();
      else if (kind === 'move') this.#leader = value % 2;
      else if (kind === 'learn') this.#believed = this.#leader;
      else if (kind === 'handle') this.#handle(value % 2, false);
      else if (kind === 'break') this.#break(value % 2, value % 3);
      else if (kind === 'time') {
        this.#nowMs += value;
        this.lane.expire(this.#nowMs);
      }
      this.lane.recover();
      this.#collect();
    }

    /** Faults are over: everything gets its answer. */
    heal(): void {
      this.#believed = this.#leader;
      for (let round = 0; round < 200 && !this.lane.isEmpty; round++) {
        for (const broker of [0, 1]) this.#handle(broker, false);
        this.lane.recover();
        this.#send();
        this.#collect();
      }
    }

    get asked(): number {
      return this.#next;
    }

    #send(): void {
      const wire = this.#wires[this.#believed] as Wire;
      const request = this.lane.send(wire.to, this.#nowMs);
      if (request !== undefined) wire.queue.push(request);
    }

    /** The broker takes the next request on its wire; the answer may be lost with the wire. */
    #handle(broker: number, isAnswerLost: boolean): void {
      const request = this.#wires[broker]?.queue.shift();
      if (request === undefined) return;
      const code = this.#append(broker, Number(request.head.correlationId));
      if (!isAnswerLost) this.lane.take(request, answerOf(request, code));
    }

    #append(broker: number, number: number): ErrorName | 'OK' {
      if (broker !== this.#leader) return 'NOT_LEADER';
      if (this.isSafe) {
        if (this.log.includes(number)) return 'OK';
        const last = this.log.at(-1) ?? -1;
        if (number !== last + 1) return 'OUT_OF_ORDER_SEQUENCE';
      }
      this.log.push(number);
      return 'OK';
    }

    #break(broker: number, handledFirst: number): void {
      for (let i = 0; i < handledFirst; i++) this.#handle(broker, true);
      const wire = this.#wires[broker] as Wire;
      wire.queue.length = 0;
      if (this.lane.upstream !== wire.to) return;
      this.lane.lose({ code: 'NOT_AVAILABLE', message: 'lost', outcomeUnknown: true });
    }

    #collect(): void {
      for (const [number, code] of outcomes(this.lane)) {
        assert.equal(number, this.answers.size, 'answers come in the order of the requests');
        this.answers.set(number, code);
      }
    }
  }

  const steps = fc.array(
    fc.tuple(
      fc.constantFrom(
        'add',
        'add',
        'send',
        'send',
        'send',
        'handle',
        'handle',
        'handle',
        'move',
        'learn',
        'break',
        'time',
      ),
      fc.nat(400),
    ),
    { maxLength: 120, size: 'max' },
  );

  for (const isSafe of [false, true]) {
    test(`${isSafe ? 'recognised' : 'plain'} writes: in order, never twice, and no answer lies`, () => {
      fc.assert(
        fc.property(steps, (sequence) => {
          const world = new World(isSafe);
          for (const [kind, value] of sequence) world.step(kind, value);
          world.heal();
          assert.equal(world.answers.size, world.asked, 'every request has its answer');
          // A plain write whose outcome is unknown may still be on its way, and land late: nobody can call it back.
          const inOrder = world.log.filter((number) => isSafe || world.answers.get(number) === 'OK');
          const sorted = [...inOrder].sort((left, right) => left - right);
          assert.deepEqual(inOrder, sorted, 'the log has their order');
          assert.equal(new Set(world.log).size, world.log.length, 'nothing is written twice');
          for (const [number, code] of world.answers) {
            const isWritten = world.log.includes(number);
            if (code === 'OK') assert.ok(isWritten, `${number} was acknowledged`);
            if (code !== 'OK' && code !== 'TIMEOUT') assert.ok(!isWritten, `${number} got ${code} and was written`);
          }
        }),
        { numRuns: 500 },
      );
    });
  }
});
