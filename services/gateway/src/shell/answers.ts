/**
 * What readers have not taken yet, in one bounded memory. How long an answer will be is only known when a broker has given it,
 * so it is asked twice whether there is room: before, so that nothing is fetched in vain, and with the answer at hand.
 */
import { type AnswerMemory, DomainError, type HeldAnswer } from '@fleetmq/shared';
import { holdUntilLeft, messageLength, notTaken, type RawContext, type RawMessage } from '@fleetmq/shared/runtime';

export type AnswerCall = Pick<RawContext, 'connection' | 'giveUp' | 'onClose'>;

/** A unary read. LIMIT_EXCEEDED when answers of others fill the memory. */
export async function heldAnswer(
  memory: AnswerMemory,
  call: AnswerCall,
  read: () => Promise<RawMessage>,
): Promise<RawMessage> {
  if (memory.roomFor(call.connection) === 0) throw noRoom(memory);
  const answer = await read();
  holdUntilLeft(hold(memory, call, answer), call);
  return answer;
}

/** A subscription: each answer is held until the next one is asked for. */
export async function* heldAnswers(
  memory: AnswerMemory,
  call: AnswerCall,
  answers: AsyncIterable<RawMessage>,
): AsyncGenerator<RawMessage> {
  for await (const answer of answers) {
    const held = hold(memory, call, answer);
    held.watch(() => call.giveUp?.(notTaken()));
    try {
      yield answer;
    } finally {
      held.release();
    }
  }
}

function hold(memory: AnswerMemory, { connection }: AnswerCall, answer: RawMessage): HeldAnswer {
  memory.roomFor(connection);
  const held = memory.hold(messageLength(answer), connection);
  if (held === undefined) throw noRoom(memory);
  return held;
}

function noRoom(memory: AnswerMemory): DomainError {
  return new DomainError('LIMIT_EXCEEDED', `answers of ${memory.bytes} bytes wait to be read`, { retryAfterMs: 100 });
}
