/** Calls that any broker answers: passed on as bytes to a broker in service, and to the next one where that does no harm. */
import type { DescMethod } from '@bufbuild/protobuf';
import { DomainError, isDomainError } from '@fleetmq/shared';
import type { RawContext } from '@fleetmq/shared/runtime';
import { stepAfter, unansweredError } from '../domain/retry.ts';
import { budgetMs } from './leader-calls.ts';
import { forwardedHeaders, type Upstreams } from './upstreams.ts';

const deadlineDefaultMs = 30_000;

/** The answer's bytes. The call may be repeated: calling it twice must do no harm. */
export async function callAnyBroker(
  upstreams: Upstreams,
  method: DescMethod,
  request: Uint8Array,
  context: RawContext,
): Promise<Uint8Array> {
  const { signal } = context;
  const headers = forwardedHeaders(context);
  const startedAtMs = upstreams.clock.monotonicMs();
  const limitMs = budgetMs(context.deadlineMs, deadlineDefaultMs);
  const leftMs = (): number => limitMs - (upstreams.clock.monotonicMs() - startedAtMs);
  let last = new DomainError('NOT_AVAILABLE', 'no broker is in service');
  for (let attempt = 1; leftMs() > 0; attempt++) {
    const [broker] = upstreams.brokersInTurn();
    try {
      if (broker !== undefined) {
        const options = { signal, headers, timeoutMs: leftMs() };
        return await upstreams.transportTo(broker).rawUnary(method, request, options);
      }
    } catch (error) {
      if (!isDomainError(error) || signal.aborted || stepAfter(error, true) !== 'retry') throw error;
      last = error;
    }
    await upstreams.beforeRetry(attempt, Math.max(0, leftMs()), signal);
    if (signal.aborted) throw signal.reason;
  }
  throw unansweredError(method.name, limitMs, last.message);
}
