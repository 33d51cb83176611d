/**
 * The network between simulated processes: calls of the contract as packets that are late, lost, doubled or overtaken.
 *
 * Callers use a Connect `Transport`, and servers mount the same routes as on a real listener; messages travel as bytes, so
 * that the wire forms are part of what is simulated. A packet from one process to another passes their link, which may be
 * cut in one direction alone. A lost request leaves its caller waiting until its deadline; a packet to a port that nobody
 * listens on is refused; a process that was killed resets its connections, one that lost power says nothing.
 * A stream keeps its order, as TCP does, and breaks when a packet of it meets a cut.
 */
import { create, type DescMessage, type DescMethod, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import type { Transport } from '@connectrpc/connect';
import { assert, DomainError, isDomainError, type Random } from '@fleetmq/shared';
import { methodPath, type RawContext, type RawMessage, type ServiceRoutes } from '@fleetmq/shared/runtime';
import type { Scheduled, VirtualTime } from './clock.ts';
import type { SimProcess } from './process.ts';
import { AsyncQueue } from './queue.ts';

/** What the network does to packets now. Rates are of 1. */
export interface NetworkConditions {
  delayMs: number;
  delaySpreadMs: number;
  lossRate: number;
  duplicateRate: number;
  /** A packet that is held back for up to `straggleMs`, behind its sender's timeouts. */
  straggleRate: number;
  straggleMs: number;
}

export interface NetworkCounters {
  packets: number;
  lost: number;
  cut: number;
  duplicated: number;
  straggled: number;
}

/** Sees each message as it leaves its sender. Must not throw. */
export type NetworkObserver = (seen: {
  readonly from: number;
  readonly to: number;
  readonly method: DescMethod;
  readonly kind: 'request' | 'response';
  readonly message: MessageShape<DescMessage>;
}) => void;

export interface NetworkOptions {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly conditions: NetworkConditions;
  readonly observe?: NetworkObserver;
  /** Sees what arrives, for the trace. */
  readonly onPacket?: (from: number, to: number, method: DescMethod, bytes: Uint8Array) => void;
  /** A handler threw what is no DomainError: a bug. */
  readonly onBug: (error: unknown) => void;
  /** After which a stream over a cut link is given up. Default 2 s. */
  readonly breakMs?: number;
}

type Handler = (request: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>;
type StreamHandler = (requests: AsyncIterable<Uint8Array>, signal: AbortSignal) => AsyncIterable<Uint8Array>;

interface Endpoint {
  readonly process: SimProcess;
  readonly unary: ReadonlyMap<string, Handler>;
  readonly streams: ReadonlyMap<string, StreamHandler>;
}

interface OpenCall {
  readonly client: SimProcess;
  server: SimProcess | undefined;
  readonly from: number;
  readonly to: number;
  /** At the client. */
  fail(error: DomainError): void;
  readonly atServer: AbortController;
}

export class SimNetwork {
  readonly #options: NetworkOptions;
  readonly #endpoints = new Map<number, Endpoint>();
  readonly #cuts = new Set<number>();
  readonly #open = new Set<OpenCall>();
  readonly counters: NetworkCounters = { packets: 0, lost: 0, cut: 0, duplicated: 0, straggled: 0 };

  constructor(options: NetworkOptions) {
    this.#options = options;
  }

  listen(id: number, process: SimProcess, routes: readonly ServiceRoutes[]): void {
    const unary = new Map<string, Handler>();
    const streams = new Map<string, StreamHandler>();
    for (const { service, typed, raw } of routes) {
      const handlers = typed as unknown as Partial<Record<string, (...args: unknown[]) => unknown>>;
      for (const method of service.methods) {
        const rawRoute = raw.find((route) => route.method === method);
        const handler = handlers[method.localName];
        if (rawRoute?.kind === 'unary') {
          const run = rawRoute.handler;
          unary.set(methodPath(method), async (bytes, signal) => joined(await run(bytes, { signal } as RawContext)));
        } else if (handler !== undefined && method.methodKind === 'unary') {
          unary.set(methodPath(method), async (bytes, signal) => {
            const answer = await handler(fromBinary(method.input, bytes), { signal });
            return toBinary(method.output, answer as MessageShape<DescMessage>);
          });
        } else if (handler !== undefined) {
          streams.set(methodPath(method), typedStream(method, handler));
        }
      }
    }
    this.#endpoints.set(id, { process, unary, streams });
  }

  cut(from: number, to: number): void {
    this.#cuts.add(linkOf(from, to));
  }

  isCut(from: number, to: number): boolean {
    return this.#cuts.has(linkOf(from, to));
  }

  healAll(): void {
    this.#cuts.clear();
  }

  /** To be called when a process has ended. `isSilent`: nobody is told; half-open connections end after a while. */
  ended(process: SimProcess, isSilent: boolean): void {
    const { time, breakMs = 2_000 } = this.#options;
    for (const call of [...this.#open]) {
      if (call.client === process) {
        this.#open.delete(call);
        time.after(isSilent ? breakMs : 1, () => call.server?.run(() => call.atServer.abort(connectionLost())));
      } else if (call.server === process && !isSilent) {
        this.#packet(call.to, call.from, () => call.fail(connectionLost()));
      }
    }
  }

  /** Calls from a process, which has the address `from`, to whoever listens at `to`. */
  transport(from: number, process: SimProcess, to: number): Transport {
    return {
      unary: async (method, signal, timeoutMs, _header, input) => {
        if (!process.isAlive) await new Promise(() => undefined);
        const request = create(method.input, input);
        this.#options.observe?.({ from, to, method, kind: 'request', message: request });
        const bytes = toBinary(method.input, request);
        const message = (await this.#call({ from, to, process, method, bytes, signal, timeoutMs })) as never;
        return { stream: false, service: method.parent, method, header: noHeaders, trailer: noHeaders, message };
      },
      stream: async (method, signal, timeoutMs, _header, input) => {
        if (!process.isAlive) await new Promise(() => undefined);
        const message = this.#stream({ from, to, process, method, input, signal, timeoutMs }) as never;
        return { stream: true, service: method.parent, method, header: noHeaders, trailer: noHeaders, message };
      },
    };
  }

  #call(call: {
    from: number;
    to: number;
    process: SimProcess;
    method: DescMethod;
    bytes: Uint8Array;
    signal: AbortSignal | undefined;
    timeoutMs: number | undefined;
  }): Promise<MessageShape<DescMessage>> {
    const { from, to, process, method, bytes, signal } = call;
    return new Promise((resolve, reject) => {
      const { open, settle } = this.#openCall(call, (error) => reject(error));
      if (open === undefined) return;
      const onAnswer = (answer: MessageShape<DescMessage>): void => {
        if (settle()) resolve(answer);
      };
      const refuse = (): void => {
        this.#packet(to, from, () => process.run(() => open.fail(refused(to))));
      };
      const deliver = (endpoint: Endpoint): void => {
        open.server = endpoint.process;
        this.#options.onPacket?.(from, to, method, bytes);
        void this.#serve(endpoint, { open, method, bytes }).then((outcome) => {
          if (!endpoint.process.isAlive) return;
          if (isDomainError(outcome)) {
            this.#packet(to, from, () => process.run(() => open.fail(overTheWire(outcome))));
            return;
          }
          const answer = fromBinary(method.output, outcome);
          this.#options.observe?.({ from: to, to: from, method, kind: 'response', message: answer });
          this.#packet(to, from, () =>
            process.run(() => {
              this.#options.onPacket?.(to, from, method, outcome);
              onAnswer(answer);
            }),
          );
        });
      };
      if (signal?.aborted) return;
      this.#packet(from, to, () => this.#arrive(to, deliver, refuse));
    });
  }

  /** What both kinds of calls share: the deadline, the caller's signal, and one end. */
  #openCall(
    call: {
      from: number;
      to: number;
      process: SimProcess;
      signal: AbortSignal | undefined;
      timeoutMs: number | undefined;
    },
    onFailure: (error: unknown) => void,
  ): { open: OpenCall | undefined; settle: () => boolean } {
    const { from, to, process, signal, timeoutMs } = call;
    if (signal?.aborted === true) {
      onFailure(signal.reason);
      return { open: undefined, settle: () => false };
    }
    let timer: Scheduled | undefined;
    const settle = (): boolean => {
      if (!this.#open.delete(open)) return false;
      timer?.cancel();
      signal?.removeEventListener('abort', onAbort);
      return true;
    };
    const giveUp = (error: unknown): void => {
      if (!settle()) return;
      this.#packet(from, to, () => {
        open.server?.run(() => open.atServer.abort(new DomainError('CANCELLED', 'the caller gave up')));
      });
      onFailure(error);
    };
    const onAbort = (): void => giveUp(signal?.reason);
    const open: OpenCall = {
      client: process,
      server: undefined,
      from,
      to,
      fail: (error) => {
        if (settle()) onFailure(error);
      },
      atServer: new AbortController(),
    };
    this.#open.add(open);
    signal?.addEventListener('abort', onAbort, { once: true });
    if (timeoutMs !== undefined) {
      timer = process.timers.after(timeoutMs, () => giveUp(new DomainError('TIMEOUT', `no answer in ${timeoutMs} ms`)));
    }
    return { open, settle };
  }

  async #serve(
    endpoint: Endpoint,
    call: { open: OpenCall; method: DescMethod; bytes: Uint8Array },
  ): Promise<Uint8Array | DomainError> {
    const handler = endpoint.unary.get(methodPath(call.method));
    if (handler === undefined) return new DomainError('UNIMPLEMENTED', `${call.method.name} is not served here`);
    try {
      return await handler(call.bytes, call.open.atServer.signal);
    } catch (error) {
      if (isDomainError(error)) return error;
      if (endpoint.process.isAlive) this.#options.onBug(error);
      return new DomainError('UNKNOWN_ERROR', String(error));
    }
  }

  #stream(call: {
    from: number;
    to: number;
    process: SimProcess;
    method: DescMethod;
    input: AsyncIterable<unknown>;
    signal: AbortSignal | undefined;
    timeoutMs: number | undefined;
  }): AsyncIterable<MessageShape<DescMessage>> {
    const { from, to, process, method, input } = call;
    const answers = new AsyncQueue<MessageShape<DescMessage>>();
    const { open, settle } = this.#openCall(call, (error) => answers.end(error));
    if (open === undefined) return answers;
    const requests = new AsyncQueue<Uint8Array>();
    const broken = (): void => {
      const { time, breakMs = 2_000 } = this.#options;
      time.after(breakMs, () => process.run(() => open.fail(connectionLost())));
      time.after(breakMs, () => open.server?.run(() => open.atServer.abort(connectionLost())));
    };
    // Until the server takes the stream, what arrives waits in its socket.
    const atServer = (work: () => void): void => (open.server === undefined ? work() : open.server.run(work));
    const up = this.#ordered(from, to, broken);
    const down = this.#ordered(to, from, broken);
    const serve = async (endpoint: Endpoint): Promise<void> => {
      open.server = endpoint.process;
      const { signal } = open.atServer;
      signal.addEventListener('abort', () => requests.end(signal.reason), { once: true });
      const handler = endpoint.streams.get(methodPath(method));
      let end: DomainError | undefined;
      try {
        if (handler === undefined) throw new DomainError('UNIMPLEMENTED', `${method.name} is not served here`);
        for await (const bytes of handler(requests, signal)) {
          // What was still running when the process died says nothing any more.
          if (!endpoint.process.isAlive) return;
          down(() =>
            process.run(() => {
              this.#options.onPacket?.(to, from, method, bytes);
              answers.push(fromBinary(method.output, bytes));
            }),
          );
        }
      } catch (error) {
        if (!isDomainError(error) && endpoint.process.isAlive) this.#options.onBug(error);
        end = isDomainError(error) ? overTheWire(error) : new DomainError('UNKNOWN_ERROR', String(error));
      }
      if (!endpoint.process.isAlive) return;
      down(() =>
        process.run(() => {
          if (settle()) answers.end(end);
        }),
      );
    };
    const refuse = (): void => this.#packet(to, from, () => process.run(() => open.fail(refused(to))));
    up(() => this.#arrive(to, (endpoint) => void serve(endpoint), refuse));
    const send = async (): Promise<void> => {
      for await (const item of input) {
        if (!process.isAlive) return;
        const request = create(method.input, item as never);
        const bytes = toBinary(method.input, request);
        up(() => atServer(() => requests.push(bytes)));
      }
      up(() => atServer(() => requests.end()));
    };
    send().catch((error: unknown) => this.#options.onBug(error));
    return answers;
  }

  #arrive(to: number, deliver: (endpoint: Endpoint) => void, refuse: () => void): void {
    const endpoint = this.#endpoints.get(to);
    if (endpoint === undefined || !endpoint.process.isAlive) refuse();
    else endpoint.process.run(() => deliver(endpoint));
  }

  /** Sends in order; `broken` is called once, when a packet met a cut. */
  #ordered(from: number, to: number, broken: () => void): (deliver: () => void) => void {
    const { time } = this.#options;
    let lastMs = 0;
    let isBroken = false;
    return (deliver) => {
      if (isBroken) return;
      this.counters.packets++;
      if (this.isCut(from, to)) {
        this.counters.cut++;
        isBroken = true;
        broken();
        return;
      }
      lastMs = Math.max(lastMs, time.nowMs + this.#delay());
      time.at(lastMs, deliver);
    };
  }

  #packet(from: number, to: number, deliver: () => void): void {
    const { time, random, conditions } = this.#options;
    const { counters } = this;
    counters.packets++;
    if (this.isCut(from, to)) {
      counters.cut++;
      return;
    }
    if (conditions.lossRate > 0 && random.next() < conditions.lossRate) {
      counters.lost++;
      return;
    }
    time.after(this.#delay(), deliver);
    if (conditions.duplicateRate > 0 && random.next() < conditions.duplicateRate) {
      counters.duplicated++;
      time.after(this.#delay(), deliver);
    }
  }

  #delay(): number {
    const { random, conditions } = this.#options;
    if (conditions.straggleRate > 0 && random.next() < conditions.straggleRate) {
      this.counters.straggled++;
      return random.next() * conditions.straggleMs;
    }
    return conditions.delayMs + random.next() * conditions.delaySpreadMs;
  }
}

const noHeaders = new Headers();

function linkOf(from: number, to: number): number {
  return from * 1_000 + to;
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

function overTheWire(error: DomainError): DomainError {
  const { code, message, retriable, leaderHint, retryAfterMs } = error;
  return new DomainError(code, message, {
    retriable,
    ...(leaderHint === undefined ? {} : { leaderHint }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

function refused(to: number): DomainError {
  return new DomainError('NOT_AVAILABLE', `nobody listens at ${to}`, { outcomeUnknown: false });
}

function connectionLost(): DomainError {
  return new DomainError('NOT_AVAILABLE', 'the connection was lost', { outcomeUnknown: true });
}
