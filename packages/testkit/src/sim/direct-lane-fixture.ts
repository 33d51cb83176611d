/**
 * A network without a wire, for tests of single nodes: whoever listens is called at once, in the caller's own turn. Messages
 * travel as bytes, deadlines by the caller's timers. It loses nothing, delays nothing and holds nobody back.
 */
import { create, type DescMessage, type DescMethod, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { createContextValues } from '@connectrpc/connect';
import { concatBytes, DomainError, isDomainError } from '@fleetmq/shared';
import type {
  LaneTransport,
  RawCallOptions,
  RawContext,
  RawMessage,
  RawRoute,
  ServiceRoutes,
} from '@fleetmq/shared/runtime';
import { overTheWire } from './endpoint.ts';
import type { SimProcess } from './process.ts';
import { AsyncQueue } from './queue.ts';

type Served = AsyncIterable<RawMessage>;
type Handler = (requests: AsyncIterable<Uint8Array>, context: RawContext) => Served;

export class DirectNetwork {
  readonly #listeners = new Map<string, { readonly process: SimProcess; readonly routes: readonly ServiceRoutes[] }>();

  listen(url: string, process: SimProcess, routes: readonly ServiceRoutes[]): void {
    this.#listeners.set(url, { process, routes });
  }

  /** Calls from this process; one transport per address, as connections are pooled. */
  transportsOf(caller: SimProcess): (url: string) => LaneTransport {
    const transports = new Map<string, LaneTransport>();
    return (url) => {
      const transport = transports.get(url) ?? this.#transport(caller, url);
      transports.set(url, transport);
      return transport;
    };
  }

  #transport(caller: SimProcess, url: string): LaneTransport {
    const open = (method: DescMethod, requests: AsyncIterable<Uint8Array>, options: RawCallOptions = {}) =>
      this.#call(caller, url, { method, requests, options });
    const rawUnary = async (method: DescMethod, message: RawMessage, options?: RawCallOptions) => {
      for await (const answer of open(method, once(bytesOf(message)), options).answers) return answer;
      throw new DomainError('UNKNOWN_ERROR', `${method.name} had no answer`);
    };
    const decoded = { header: new Headers(), trailer: new Headers() };
    return {
      baseUrl: url,
      openCalls: 0,
      async unary(method, signal, timeoutMs, _, input) {
        const request = toBinary(method.input, create(method.input, input));
        const message = fromBinary(method.output, await rawUnary(method, request, { signal, timeoutMs }));
        return { ...decoded, stream: false, service: method.parent, method, message };
      },
      async stream(method, signal, timeoutMs, _, input) {
        const requests = mapped(input, (item) => toBinary(method.input, create(method.input, item)));
        const { answers } = open(method, requests, { signal, timeoutMs });
        const message = mapped(answers, (bytes) => fromBinary(method.output, bytes));
        return { ...decoded, stream: true, service: method.parent, method, message };
      },
      rawUnary,
      rawServerStream: (method, message, options) => open(method, once(bytesOf(message)), options).answers,
      rawBidi(method, options) {
        const requests = new AsyncQueue<Uint8Array>();
        const call = open(method, requests, options);
        return {
          send(message) {
            requests.push(bytesOf(message));
            return true;
          },
          drained: () => Promise.resolve(),
          end: () => requests.end(),
          responses: call.answers,
          close: () => call.cancel(),
        };
      },
      close: () => Promise.resolve(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }

  #call(
    caller: SimProcess,
    url: string,
    call: {
      readonly method: DescMethod;
      readonly requests: AsyncIterable<Uint8Array>;
      readonly options: RawCallOptions;
    },
  ) {
    const { method, options } = call;
    const ended = new AbortController();
    const signal = options.signal === undefined ? ended.signal : AbortSignal.any([options.signal, ended.signal]);
    const late = new DomainError('TIMEOUT', `${method.name} took too long`, { outcomeUnknown: true });
    const { timeoutMs } = options;
    const timer = timeoutMs === undefined ? undefined : caller.timers.after(timeoutMs, () => ended.abort(late));
    const queue = new AsyncQueue<Uint8Array>();
    const requests = until(call.requests, signal);
    const end = (error?: unknown): void => {
      timer?.cancel();
      queue.end(error);
    };
    const serve = async (): Promise<void> => {
      const listener = this.#listeners.get(url);
      if (listener?.process.isAlive !== true) throw new DomainError('NOT_AVAILABLE', `nobody listens at ${url}`);
      const handler = handlerOf(listener.routes, method);
      for await (const message of handler(requests, contextOf(method, signal, timeoutMs))) {
        if (!listener.process.isAlive) return await new Promise(() => undefined);
        queue.push(bytesOf(message));
      }
    };
    signal.addEventListener('abort', () => end(reasonOf(signal)), { once: true });
    serve().then(
      () => end(),
      (error) => end(overTheWire(error)),
    );
    const cancel = (): void => ended.abort(new DomainError('CANCELLED', 'the caller gave up'));
    const answers = (async function* () {
      try {
        yield* queue;
      } finally {
        cancel();
      }
    })();
    return { answers, cancel };
  }
}

function handlerOf(routes: readonly ServiceRoutes[], method: DescMethod): Handler {
  const { raw, typed } = routes.find(({ service }) => service.typeName === method.parent.typeName) ?? {};
  const route = raw?.find((each) => each.method === method);
  if (route !== undefined) return rawHandler(route);
  const handler = (typed as Partial<Record<string, (...args: unknown[]) => unknown>> | undefined)?.[method.localName];
  if (handler === undefined) throw new DomainError('UNIMPLEMENTED', `${method.name} is not served here`);
  return async function* (requests, context) {
    const input = mapped(requests, (bytes) => fromBinary(method.input, bytes));
    const isStream = method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming';
    const rest = { ...context, requestHeader: new Headers(), timeoutMs: () => context.deadlineMs };
    const answer = handler(isStream ? input : (await input.next()).value, rest);
    if (method.methodKind === 'unary' || method.methodKind === 'client_streaming') {
      yield toBinary(method.output, (await answer) as MessageShape<DescMessage>);
      return;
    }
    yield* mapped(answer as AsyncIterable<MessageShape<DescMessage>>, (each) => toBinary(method.output, each));
  };
}

function rawHandler(route: RawRoute): Handler {
  return async function* (requests, context) {
    switch (route.kind) {
      case 'unary':
        for await (const request of requests) return yield await route.handler(request, context);
        return;
      case 'server_streaming':
        for await (const request of requests) return yield* route.handler(request, context);
        return;
      case 'client_streaming':
        yield await route.handler(requests, context);
        return;
      case 'bidi_streaming':
        yield* route.handler(requests, context);
    }
  };
}

function contextOf(method: DescMethod, signal: AbortSignal, deadlineMs: number | undefined): RawContext {
  return {
    ...{ method, signal, deadlineMs },
    draining: new AbortController().signal,
    header: () => undefined,
    peer: 'test:1',
    connection: { address: 'test:1', encrypted: false, certificate: undefined },
    values: createContextValues(),
  };
}

/** A copy, as a socket makes one: senders use their memory again. */
function bytesOf(message: RawMessage): Uint8Array {
  if (message instanceof Uint8Array) return new Uint8Array(message);
  if (!('pieces' in message)) return concatBytes(message);
  const bytes = concatBytes(message.pieces);
  message.release();
  return bytes;
}

/** The items, until the signal aborts: whoever waits for the next one is told at once. */
function until<Item>(items: AsyncIterable<Item>, signal: AbortSignal): AsyncIterable<Item> {
  const queue = new AsyncQueue<Item>();
  signal.addEventListener('abort', () => queue.end(reasonOf(signal)), { once: true });
  const copy = async (): Promise<void> => {
    for await (const item of items) queue.push(item);
  };
  copy().then(
    () => queue.end(),
    (error) => queue.end(error),
  );
  return queue;
}

function reasonOf(signal: AbortSignal): DomainError {
  const { reason } = signal;
  return isDomainError(reason) ? reason : new DomainError('CANCELLED', 'the caller gave up', { cause: reason });
}

async function* once<Item>(item: Item): AsyncGenerator<Item> {
  yield item;
}

async function* mapped<Source, Target>(
  source: AsyncIterable<Source>,
  map: (value: Source) => Target,
): AsyncGenerator<Target> {
  for await (const value of source) yield map(value);
}
