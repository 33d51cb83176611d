/** Between a call and the memory of answers: an answer is held until its bytes have left, and given up with its call. */
import { type AnswerMemory, DomainError, type HeldAnswer } from '@fleetmq/shared';
import type { RawContext } from './lane/raw.ts';
import type { MetricsRegistry } from './metrics.ts';

/** Why a call was given up. */
export function notTaken(): DomainError {
  return new DomainError('LIMIT_EXCEEDED', 'the caller does not take its answer, and others need the memory');
}

/** For a unary call: its answer is held until the stream is closed. A bridged call has copied the bytes by now. */
export function holdUntilLeft(held: HeldAnswer, call: Pick<RawContext, 'giveUp' | 'onClose'>): void {
  if (call.onClose === undefined) {
    held.release();
    return;
  }
  held.watch(() => call.giveUp?.(notTaken()));
  call.onClose(() => held.release());
}

/** What a process holds for its readers; `prefix` is the process's, such as `fleetmq_broker`. */
export function observeAnswers(metrics: MetricsRegistry, prefix: string, answers: AnswerMemory): void {
  metrics.observed(
    { name: `${prefix}_answer_bytes`, help: 'Bytes of answers that readers have not taken yet.' },
    () => answers.bytes,
  );
  metrics.observedCounter(
    { name: `${prefix}_answers_given_up`, help: 'Calls that were ended because their answers were not taken.' },
    () => answers.givenUp,
  );
}
