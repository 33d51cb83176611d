/**
 * A deadline for every unary call, also for one that names none, and also for a handler that does not listen to its signal:
 * the caller has its answer by then. Streams keep the deadline that they name, and are answered by then as well. The lane
 * does the same for raw routes. Connect itself refuses a deadline above the server's maximum.
 */
import { type ContextKey, createContextKey, type Interceptor } from '@connectrpc/connect';
import { DomainError } from '@fleetmq/shared';

/** The moment (`performance.now()`) at which the call's default deadline ends; undefined when the caller named one. */
export const deadlineKey: ContextKey<number | undefined> = createContextKey<number | undefined>(undefined, {
  description: 'default deadline',
});

export interface DeadlineInterceptorOptions {
  readonly defaultTimeoutMs: number;
}

export function deadlineInterceptor({ defaultTimeoutMs }: DeadlineInterceptorOptions): Interceptor {
  return (next) => async (request) => {
    if (request.stream) return untilAborted(next(request), request.signal);
    const controller = new AbortController();
    const late = Promise.withResolvers<never>();
    late.promise.catch(() => undefined);
    const end = (reason: unknown): void => {
      controller.abort(reason);
      late.reject(reason);
    };
    const onAbort = (): void => end(request.signal.reason);
    // A deadline may have passed by now, and then the signal will not say so again.
    if (request.signal.aborted) onAbort();
    request.signal.addEventListener('abort', onAbort, { once: true });
    let timer: NodeJS.Timeout | undefined;
    if (!request.header.has('grpc-timeout') && !request.header.has('connect-timeout-ms')) {
      request.contextValues.set(deadlineKey, performance.now() + defaultTimeoutMs);
      const error = new DomainError('TIMEOUT', `the default deadline of ${defaultTimeoutMs} ms has passed`);
      timer = setTimeout(() => end(error), defaultTimeoutMs);
    }
    try {
      return await Promise.race([next({ ...request, signal: controller.signal }), late.promise]);
    } finally {
      clearTimeout(timer);
      request.signal.removeEventListener('abort', onAbort);
    }
  };
}

/** A handler may wait for a message of a request that never comes: the answer does not wait with it. */
function untilAborted<Answer>(answer: Promise<Answer>, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    answer.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
