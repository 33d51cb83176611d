/**
 * One upstream of a ProduceStream: a ProduceStream at one leader. Requests go out under numbers of our own, and answers are
 * brought back to the request of their number, so that the caller's correlation ids may be anything. Everything but these
 * numbers passes through as bytes; they are appended, since protobuf takes the last value of a field.
 */
import { ProducerService } from '@fleetmq/gen/client/producer';
import { DomainError, fieldTag, isDomainError, WireWriter, wireVarint } from '@fleetmq/shared';
import type { LaneTransport, RawBidiCall } from '@fleetmq/shared/runtime';
import type { Leader } from '../domain/locate.ts';
import { readProduceNumber } from '../domain/produce.ts';
import type { LaneRequest, ProduceLane } from '../domain/produce-lane.ts';

export interface ProduceUpstreamOptions {
  readonly headers: Record<string, string>;
  /** A leader has answered: the lane's request and the answer with the caller's correlation id. */
  readonly onAnswer: (lane: ProduceLane, request: LaneRequest, answer: Uint8Array) => void;
  /** There is room again. */
  readonly onRoom: () => void;
  /** The stream has ended; what was under way has no answer. */
  readonly onEnd: (error: DomainError) => void;
}

const requestNumberField = 9;
const answerNumberField = 7;

interface UnderWay {
  readonly lane: ProduceLane;
  readonly request: LaneRequest;
}

export class ProduceUpstream {
  readonly leader: Leader;
  readonly #call: RawBidiCall;
  readonly #options: ProduceUpstreamOptions;
  readonly #underWay = new Map<number, UnderWay>();
  #next = 1;
  #isFull = false;
  #isOver = false;

  constructor(leader: Leader, transport: LaneTransport, options: ProduceUpstreamOptions) {
    this.leader = leader;
    this.#options = options;
    this.#call = transport.rawBidi(ProducerService.method.produceStream, { headers: options.headers });
    void this.#readAnswers();
  }

  /** Whether `send` takes a request now. */
  get hasRoom(): boolean {
    return !this.#isFull && !this.#isOver;
  }

  /** False: the stream is over, and `onEnd` has been or will be told. */
  send(lane: ProduceLane, request: LaneRequest): void {
    const number = this.#next++;
    this.#underWay.set(number, { lane, request });
    try {
      const hasRoom = this.#call.send([request.head.request, numberField(requestNumberField, BigInt(number))]);
      if (!hasRoom) void this.#awaitRoom();
    } catch (error) {
      // The call is over: its end is reported by the reading side, with the reason.
      if (!isDomainError(error)) throw error;
    }
  }

  close(): void {
    this.#isOver = true;
    this.#underWay.clear();
    this.#call.close();
  }

  async #awaitRoom(): Promise<void> {
    this.#isFull = true;
    try {
      await this.#call.drained();
      this.#isFull = false;
      this.#options.onRoom();
    } catch (error) {
      // As in `send`.
      if (!isDomainError(error)) throw error;
    }
  }

  /** Never rejects but for bugs. */
  async #readAnswers(): Promise<void> {
    let reason: DomainError;
    try {
      for await (const answer of this.#call.responses) this.#take(answer);
      reason = new DomainError('SHUTTING_DOWN', 'the broker ended the stream');
    } catch (error) {
      if (!isDomainError(error)) throw error;
      reason = error;
    }
    if (this.#isOver) return;
    this.close();
    this.#options.onEnd(reason);
  }

  #take(answer: Uint8Array): void {
    const number = Number(readProduceNumber(answer));
    const underWay = this.#underWay.get(number);
    if (underWay === undefined) return;
    this.#underWay.delete(number);
    const { lane, request } = underWay;
    const original = numberField(answerNumberField, request.head.correlationId);
    const whole = new Uint8Array(answer.length + original.length);
    whole.set(answer);
    whole.set(original, answer.length);
    this.#options.onAnswer(lane, request, whole);
  }
}

/** A varint field, written even when it is 0: it has to win over an earlier one. */
function numberField(field: number, value: bigint): Uint8Array {
  return new WireWriter(16).varint(fieldTag(field, wireVarint)).varint64(value).finish();
}
