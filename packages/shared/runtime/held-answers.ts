/** Between a call and the memory of answers: an answer is held until its bytes have left, and given up with its call. */
import { DomainError, type HeldAnswer } from '@fleetmq/shared';
import type { RawContext } from './lane/raw.ts';

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
