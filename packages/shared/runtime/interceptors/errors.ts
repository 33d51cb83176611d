/**
 * The one interceptor between handlers and Connect: what a handler throws becomes a ConnectError with an ErrorResponse, and
 * how each call ended is told to the metrics. Goes first in the list, so that it also maps what other interceptors throw.
 *
 * A ConnectError passes unchanged: it comes from a standard service that has a status of its own. When the caller of a
 * response stream is gone, the handler's iterator gets `return()`: Connect alone would leave it suspended, with its `finally`
 * blocks never run.
 */
import { ConnectError, type Interceptor, type StreamResponse } from '@connectrpc/connect';
import type { ErrorName, Logger } from '@fleetmq/shared';
import type { CallObservation } from '../lane/limits.ts';
import { toConnectError, toDomainError } from '../rpc-errors.ts';

type StreamMessage = StreamResponse['message'] extends AsyncIterable<infer Message> ? Message : never;

export interface ErrorInterceptorOptions {
  readonly logger: Logger;
  /** Told once per call how it ended. Must not throw. */
  readonly onCall?: ((observation: CallObservation) => void) | undefined;
}

export function errorInterceptor({ logger, onCall }: ErrorInterceptorOptions): Interceptor {
  return (next) => async (request) => {
    const startedAt = performance.now();
    const observe = (code: ErrorName | 'OK'): void =>
      onCall?.({ method: request.method, code, durationMs: performance.now() - startedAt });
    const convert = (thrown: unknown): ConnectError => {
      const error = toDomainError(thrown, logger);
      observe(error.code);
      return thrown instanceof ConnectError ? thrown : toConnectError(error);
    };
    try {
      const response = await next(request);
      if (response.stream) {
        return { ...response, message: watched(response.message, request.signal, convert, observe, logger) };
      }
      observe('OK');
      return response;
    } catch (error) {
      throw convert(error);
    }
  };
}

async function* watched(
  messages: StreamResponse['message'],
  signal: AbortSignal,
  convert: (thrown: unknown) => ConnectError,
  observe: (code: 'OK') => void,
  logger: Logger,
): StreamResponse['message'] {
  const iterator = messages[Symbol.asyncIterator]();
  let interrupt: (reason: unknown) => void = () => undefined;
  const onAbort = (): void => {
    interrupt(signal.reason);
    iterator.return?.().catch((error: unknown) => logger.warn({ err: error }, 'a handler failed while it was ended'));
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    for (;;) {
      // Not Promise.race with one long-lived promise: that would keep a reaction per message.
      const next = await new Promise<IteratorResult<StreamMessage>>((resolve, reject) => {
        interrupt = reject;
        iterator.next().then(resolve, reject);
      });
      if (signal.aborted) throw signal.reason;
      if (next.done === true) break;
      yield next.value;
    }
    observe('OK');
  } catch (error) {
    throw convert(error);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
