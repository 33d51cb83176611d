/**
 * What listens at an address of the simulated network: the routes of a real listener, each as a handler from bytes to bytes,
 * so that the wire forms are part of what is simulated.
 */
import { type DescMessage, type DescMethod, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { assert, DomainError, isDomainError } from '@fleetmq/shared';
import type { RawContext, RawMessage, ServiceRoutes } from '@fleetmq/shared/runtime';
import type { SimProcess } from './process.ts';

type Handler = (request: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>;
type StreamHandler = (requests: AsyncIterable<Uint8Array>, signal: AbortSignal) => AsyncIterable<Uint8Array>;

export class Endpoint {
  readonly process: SimProcess;
  readonly #unary = new Map<DescMethod, Handler>();
  readonly #streams = new Map<DescMethod, StreamHandler>();

  constructor(process: SimProcess, routes: readonly ServiceRoutes[]) {
    this.process = process;
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
    const handlers = typed as unknown as Partial<Record<string, (...args: unknown[]) => unknown>>;
    for (const method of service.methods) {
      const rawRoute = raw.find((route) => route.method === method);
      const handler = handlers[method.localName];
      if (rawRoute?.kind === 'unary') {
        const run = rawRoute.handler;
        this.#unary.set(method, async (bytes, signal) => joined(await run(bytes, { signal } as RawContext)));
      } else if (handler !== undefined && method.methodKind === 'unary') {
        this.#unary.set(method, async (bytes, signal) => {
          const answer = await handler(fromBinary(method.input, bytes), { signal });
          return toBinary(method.output, answer as MessageShape<DescMessage>);
        });
      } else if (handler !== undefined) {
        this.#streams.set(method, typedStream(method, handler));
      }
    }
  }
}

function joined(message: RawMessage): Uint8Array {
  assert(message instanceof Uint8Array, 'a raw answer in parts is not simulated');
  return message;
}

function typedStream(method: DescMethod, handler: (...args: unknown[]) => unknown): StreamHandler {
  return async function* serve(requests, signal) {
    const decoded = mapped(requests, (bytes) => fromBinary(method.input, bytes));
    if (method.methodKind === 'client_streaming') {
      yield toBinary(method.output, (await handler(decoded, { signal })) as MessageShape<DescMessage>);
      return;
    }
    const first = method.methodKind === 'server_streaming' ? await decoded.next() : undefined;
    const answers = handler(first === undefined ? decoded : first.value, { signal });
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
