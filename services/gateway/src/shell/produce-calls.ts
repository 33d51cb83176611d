/** Produce and ProduceBatch: to the leaders and back. Record bytes pass through as they are. */
import { ProducerService } from '@fleetmq/gen/client/producer';
import { DomainError } from '@fleetmq/shared';
import type { RawContext, RawMessage } from '@fleetmq/shared/runtime';
import {
  type CallLayout,
  type Entry,
  errorResult,
  joinAnswer,
  joinRequest,
  produceBatchLayout,
  splitAnswer,
} from '../domain/entries.ts';
import type { Leader } from '../domain/locate.ts';
import { isSafeEntry, type ProduceHead, produceError, readProduceBatch, readProduceCode } from '../domain/produce.ts';
import { budgetMs, callLeaders, type PartOutcome } from './leader-calls.ts';
import { forwardedHeaders, type Upstreams } from './upstreams.ts';

/** Of a call without deadline, such as one on a stream. */
const deadlineDefaultMs = 60_000;
/** A broker answers TIMEOUT itself when its wait is over; it is given this much longer than it was asked to wait. */
const graceMs = 1_000;

type CallContext = Pick<RawContext, 'signal' | 'deadlineMs' | 'header'>;

/** One ProduceRequest; always a ProduceResponse. */
export async function produceOne(upstreams: Upstreams, head: ProduceHead, context: CallContext): Promise<Uint8Array> {
  const headers = forwardedHeaders(context);
  const { signal } = context;
  const method = ProducerService.method.produce;
  const deadlineMs = budgetMs(context.deadlineMs, deadlineDefaultMs);
  const [answer] = await callLeaders(upstreams, {
    parts: [head],
    isWrite: true,
    isSafe: () => head.isSafe,
    async send(leader: Leader, _, options) {
      const content = await upstreams.transportTo(leader).rawUnary(method, head.request, { ...options, headers });
      return [{ ...readProduceCode(content), content }];
    },
    refuse: produceError,
    retryMs: Math.min(deadlineMs, head.timeoutMs),
    attemptMs: Math.min(deadlineMs, head.timeoutMs + graceMs),
    signal,
  });
  return answer as Uint8Array;
}

/** A ProduceBatchRequest of at most `entriesMax` entries. */
export async function produceBatch(
  upstreams: Upstreams,
  request: Uint8Array,
  context: CallContext,
  entriesMax: number,
): Promise<RawMessage> {
  const ask = readProduceBatch(request, entriesMax);
  const headers = forwardedHeaders(context);
  const { signal } = context;
  const deadlineMs = budgetMs(context.deadlineMs, deadlineDefaultMs);
  const results = await callLeaders(upstreams, {
    parts: ask.entries,
    isWrite: true,
    isSafe: isSafeEntry,
    async send(leader, entries, options) {
      const message = joinRequest(ask.common, entries);
      const { produceBatch: method } = ProducerService.method;
      const answer = await upstreams.transportTo(leader).rawUnary(method, message, { ...options, headers });
      return outcomesOf(answer, entries, produceBatchLayout);
    },
    refuse: (entry, error) => errorResult(entry, error, produceBatchLayout),
    retryMs: Math.min(deadlineMs, ask.timeoutMs),
    attemptMs: Math.min(deadlineMs, ask.timeoutMs + graceMs),
    signal,
  });
  return joinAnswer(results, produceBatchLayout);
}

/** The results of a leader's answer. Throws the error of the whole call, and UNKNOWN_ERROR if a result is missing. */
export function outcomesOf(answer: Uint8Array, entries: readonly Entry[], layout: CallLayout): readonly PartOutcome[] {
  const { error, results } = splitAnswer(answer, layout);
  if (error !== undefined) throw error;
  if (results.length === entries.length) return results;
  const text = `a broker answered ${results.length} results for ${entries.length} partitions`;
  throw new DomainError('UNKNOWN_ERROR', text);
}
