/**
 * What listens at an address of the simulated network: the routes of a real listener, each as a handler from bytes to bytes,
 * so that the wire forms are part of what is simulated.
 */
import { type DescMessage, type DescMethod, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { createContextValues } from '@connectrpc/connect';
import { concatBytes, DomainError, isDomainError } from '@fleetmq/shared';
import type { RawContext, RawMessage, RawRoute, ServiceRoutes } from '@fleetmq/shared/runtime';
import type { SimProcess } from './process.ts';

/** What the caller sent along with its messages. */
export interface CallFacts {
  /** Aborts when the caller is gone. */
  readonly signal: AbortSignal;
  /** Milliseconds that are left now. */
  readonly deadlineMs: () => number | undefined;
  /** Address of the caller. */
  readonly from: number;
  readonly headers: Readonly<Record<string, string>>;
}

type Handler = (request: Uint8Array, facts: CallFacts) => Promise<Uint8Array>;
type StreamHandler = (requests: AsyncIterable<Uint8Array>, facts: CallFacts) => AsyncIterable<Uint8Array>;
type TypedHandler = (input: unknown, context: unknown) => unknown;

export class Endpoint {
  readonly process: SimProcess;
  readonly #draining: AbortSignal;
  readonly #unary = new Map<DescMethod, Handler>();
  readonly #streams = new Map<DescMethod, StreamHandler>();

  constructor(process: SimProcess, routes: readonly ServiceRoutes[], draining: AbortSignal) {
    this.process = process;
    this.#draining = draining;
    for (const each of routes) this.#add(each);
  }

  /** UNIMPLEMENTED for a call that is not served here. */
  unary(method: DescMethod): Handler {
    const handler = this.#unary.get(method);
    if (handler === undefined) throw notServed(method);
    return handler;
  }

  /** As `unary`. */
  stream(method: DescMethod): StreamHandler {
    const handler = this.#streams.get(method);
    if (handler === undefined) throw notServed(method);
    return handler;
  }

  #add({ service, typed, raw }: ServiceRoutes): void {
    const handlers = typed as unknown as Partial<Record<string, TypedHandler>>;
    for (const method of service.methods) {
      const route = raw.find((each) => each.method === method);
      const handler = handlers[method.localName];
      if (route?.kind === 'unary') {
        const run = route.handler;
        this.#unary.set(method, async (bytes, facts) => bytesOf(await run(bytes, this.#context(method, facts))));
      } else if (handler !== undefined && method.methodKind === 'unary') {
        this.#unary.set(method, async (bytes, facts) => {
          const answer = await handler(fromBinary(method.input, bytes), typedContext(facts));
          return toBinary(method.output, answer as MessageShape<DescMessage>);
        });
      } else if (handler !== undefined) {
        this.#streams.set(method, typedStream(method, handler));
      } else if (route !== undefined) {
        this.#streams.set(
          method,
          rawStream(route, (facts) => this.#context(method, facts)),
        );
      }
    }
  }

  #context(method: DescMethod, { signal, deadlineMs, from, headers }: CallFacts): RawContext {
    const peer = `client:${from}`;
    return {
      ...{ method, signal, peer, draining: this.#draining },
      get deadlineMs() {
        return deadlineMs();
      },
      header: (name) => headers[name],
      connection: { address: peer, encrypted: false, certificate: undefined },
      values: createContextValues(),
    };
  }
}

/** A copy, as a socket makes one: senders use their memory again. */
export function bytesOf(message: RawMessage): Uint8Array {
  if (message instanceof Uint8Array) return new Uint8Array(message);
  if (!('pieces' in message)) return concatBytes(message);
  const bytes = concatBytes(message.pieces);
  message.release();
  return bytes;
}

function typedContext({ signal, deadlineMs, headers }: CallFacts) {
  return {
    signal,
    timeoutMs: deadlineMs,
    get requestHeader() {
      return new Headers(headers);
    },
  };
}

function rawStream(route: RawRoute, contextOf: (facts: CallFacts) => RawContext): StreamHandler {
  return async function* serve(requests, facts) {
    const context = contextOf(facts);
    switch (route.kind) {
      case 'server_streaming':
        for await (const request of requests) return yield* mapped(route.handler(request, context), bytesOf);
        return;
      case 'client_streaming':
        yield bytesOf(await route.handler(requests, context));
        return;
      case 'bidi_streaming':
        yield* mapped(route.handler(requests, context), bytesOf);
    }
  };
}

function typedStream(method: DescMethod, handler: TypedHandler): StreamHandler {
  return async function* serve(requests, facts) {
    const context = typedContext(facts);
    const decoded = mapped(requests, (bytes) => fromBinary(method.input, bytes));
    if (method.methodKind === 'client_streaming') {
      yield toBinary(method.output, (await handler(decoded, context)) as MessageShape<DescMessage>);
      return;
    }
    const first = method.methodKind === 'server_streaming' ? await decoded.next() : undefined;
    const answers = handler(first === undefined ? decoded : first.value, context);
    for await (const answer of answers as AsyncIterable<MessageShape<DescMessage>>) {
      yield toBinary(method.output, answer);
    }
  };
}

async function* mapped<Source, Target>(
  source: AsyncIterable<Source>,
  map: (value: Source) => Target,
): AsyncGenerator<Target> {
  for await (const value of source) yield map(value);
}

function notServed(method: DescMethod): DomainError {
  return new DomainError('UNIMPLEMENTED', `${method.name} is not served here`);
}

/** An error as the caller gets it: what the status and its detail carry. */
export function overTheWire(error: unknown): DomainError {
  if (!isDomainError(error)) return new DomainError('UNKNOWN_ERROR', String(error));
  const { code, message, retriable, leaderHint, retryAfterMs } = error;
  return new DomainError(code, message, {
    retriable,
    ...(leaderHint === undefined ? {} : { leaderHint }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}
