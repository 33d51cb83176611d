/**
 * A deadline for every unary call, also for one that names none, and also for a handler that does not listen to its signal:
 * the caller has its answer by then. Streams keep the deadline that they name. The lane does the same for raw routes.
 * Connect itself refuses a deadline above the server's maximum.
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
    if (request.stream) return next(request);
    const controller = new AbortController();
    const late = Promise.withResolvers<never>();
    late.promise.catch(() => undefined);
    const end = (reason: unknown): void => {
      controller.abort(reason);
      late.reject(reason);
    };
    const onAbort = (): void => end(request.signal.reason);
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
