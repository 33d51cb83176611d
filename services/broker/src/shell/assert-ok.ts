/** Answers of this product carry their errors in their bodies. */
import { DomainError, errorName } from '@fleetmq/shared';

/** Throws the error that an answer carries in its body. */
export function assertOk(answer: { readonly errorCode: number; readonly errorMessage: string }): void {
  if (answer.errorCode === 0) return;
  const code = errorName(answer.errorCode);
  throw new DomainError(code, answer.errorMessage === '' ? code : answer.errorMessage);
}
