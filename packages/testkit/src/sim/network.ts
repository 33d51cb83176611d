/**
 * The network between simulated processes: calls of the contract as packets over links (`links.ts`).
 *
 * Callers use a Connect `Transport`, and servers mount the same routes as on a real listener; messages travel as bytes, so
 * that the wire forms are part of what is simulated. A lost request leaves its caller waiting until its deadline; a packet to
 * a port that nobody listens on is refused; a process that was killed resets its connections, one that lost power says nothing.
 * A stream keeps its order, as TCP does, and breaks when a packet of it meets a cut.
 */
import { create, type DescMessage, type DescMethod, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import type { Transport } from '@connectrpc/connect';
import { DomainError, isDomainError } from '@fleetmq/shared';
import type { ServiceRoutes } from '@fleetmq/shared/runtime';
import { Endpoint, overTheWire } from './endpoint.ts';
import { Links, type LinksOptions, type NetworkCounters } from './links.ts';
import { type CallEnds, connectionLost, type OpenCall, OpenCalls } from './open-calls.ts';
import type { SimProcess } from './process.ts';
import { AsyncQueue } from './queue.ts';

/** Sees each message of a unary call as it leaves its sender, and as it reaches a process that runs. Must not throw. */
export type NetworkObserver = (seen: {
  readonly from: number;
  readonly to: number;
  readonly method: DescMethod;
  readonly kind: 'request' | 'response';
  readonly stage: 'leaves' | 'arrives';
  readonly message: MessageShape<DescMessage>;
}) => void;

export interface NetworkOptions extends LinksOptions {
  readonly observe?: NetworkObserver;
  /** Sees what arrives, for the trace. */
  readonly onPacket?: (from: number, to: number, method: DescMethod, bytes: Uint8Array) => void;
  /** A handler threw what is no DomainError: a bug. */
  readonly onBug: (error: unknown) => void;
  /** After which a stream over a cut link is given up. Default 2 s. */
  readonly breakMs?: number;
}

interface UnaryCall extends CallEnds {
  readonly method: DescMethod;
  readonly message: MessageShape<DescMessage>;
  readonly bytes: Uint8Array;
}

interface StreamCall extends CallEnds {
  readonly method: DescMethod;
  readonly input: AsyncIterable<unknown>;
}

export class SimNetwork {
  readonly #options: NetworkOptions;
  readonly #endpoints = new Map<number, Endpoint>();
  readonly #calls: OpenCalls;
  readonly #breakMs: number;
  readonly #links: Links;

  constructor(options: NetworkOptions) {
    this.#options = options;
    this.#links = new Links(options);
    this.#calls = new OpenCalls(this.#links, options.time);
    this.#breakMs = options.breakMs ?? 2_000;
  }

  get counters(): NetworkCounters {
    return this.#links.counters;
  }

  listen(id: number, process: SimProcess, routes: readonly ServiceRoutes[]): void {
    this.#endpoints.set(id, new Endpoint(process, routes));
  }

  cut(from: number, to: number): void {
    this.#links.cut(from, to);
  }

  isCut(from: number, to: number): boolean {
    return this.#links.isCut(from, to);
  }

  healAll(): void {
    this.#links.healAll();
  }

  /** To be called when a process has ended. `isSilent`: nobody is told; half-open connections end after a while. */
  ended(process: SimProcess, isSilent: boolean): void {
    this.#calls.ended(process, isSilent ? this.#breakMs : undefined);
  }

  /** Calls from a process, which has the address `from`, to whoever listens at `to`. */
  transport(from: number, process: SimProcess, to: number): Transport {
    return {
      unary: async (method, signal, timeoutMs, _header, input) => {
        if (!process.isAlive) await new Promise(() => undefined);
        const request = create(method.input, input);
        this.#options.observe?.({ from, to, method, kind: 'request', stage: 'leaves', message: request });
        const bytes = toBinary(method.input, request);
        const call = { from, to, process, method, message: request, bytes, signal, timeoutMs };
        const message = (await this.#call(call)) as never;
        return { stream: false, service: method.parent, method, header: noHeaders, trailer: noHeaders, message };
      },
      stream: async (method, signal, timeoutMs, _header, input) => {
        if (!process.isAlive) await new Promise(() => undefined);
        const message = this.#stream({ from, to, process, method, input, signal, timeoutMs }) as never;
        return { stream: true, service: method.parent, method, header: noHeaders, trailer: noHeaders, message };
      },
    };
  }

  #call(call: UnaryCall): Promise<MessageShape<DescMessage>> {
    const { from, to, process, method, message, bytes, signal } = call;
    return new Promise((resolve, reject) => {
      const open = this.#calls.begin(call, reject);
      if (open === undefined) return;
      const deliver = (endpoint: Endpoint): void => {
        open.server = endpoint.process;
        this.#options.onPacket?.(from, to, method, bytes);
        this.#options.observe?.({ from, to, method, kind: 'request', stage: 'arrives', message });
        void this.#serve(endpoint, open, call).then((outcome) => {
          if (!endpoint.process.isAlive) return;
          if (isDomainError(outcome)) {
            this.#links.send(to, from, () => process.run(() => open.fail(overTheWire(outcome))));
            return;
          }
          const answer = fromBinary(method.output, outcome);
          const seen = { from: to, to: from, method, kind: 'response', message: answer } as const;
          this.#options.observe?.({ ...seen, stage: 'leaves' });
          this.#links.send(to, from, () =>
            process.run(() => {
              this.#options.onPacket?.(to, from, method, outcome);
              this.#options.observe?.({ ...seen, stage: 'arrives' });
              if (open.settle()) resolve(answer);
            }),
          );
        });
      };
      if (signal?.aborted) return;
      this.#links.send(from, to, () => this.#arrive(to, deliver, () => this.#refuse(open)));
    });
  }

  async #serve(
    endpoint: Endpoint,
    open: OpenCall,
    { method, bytes }: Pick<UnaryCall, 'method' | 'bytes'>,
  ): Promise<Uint8Array | DomainError> {
    try {
      return await endpoint.unary(method)(bytes, open.signal);
    } catch (error) {
      if (isDomainError(error)) return error;
      if (endpoint.process.isAlive) this.#options.onBug(error);
      return new DomainError('UNKNOWN_ERROR', String(error));
    }
  }

  #stream(call: StreamCall): AsyncIterable<MessageShape<DescMessage>> {
    const { from, to, process, method, input } = call;
    const answers = new AsyncQueue<MessageShape<DescMessage>>();
    const open = this.#calls.begin(call, (error) => answers.end(error));
    if (open === undefined) return answers;
    const requests = new AsyncQueue<Uint8Array>();
    const broken = (): void => {
      const { time } = this.#options;
      time.after(this.#breakMs, () => process.run(() => open.fail(connectionLost())));
      time.after(this.#breakMs, () => open.abort(connectionLost()));
    };
    // Until the server takes the stream, what arrives waits in its socket.
    const atServer = (work: () => void): void => (open.server === undefined ? work() : open.server.run(work));
    const up = this.#links.ordered(from, to, broken);
    const down = this.#links.ordered(to, from, broken);
    const serve = (endpoint: Endpoint): void => {
      void this.#serveStream(endpoint, open, { method, requests, answers, down });
    };
    up(() => this.#arrive(to, serve, () => this.#refuse(open)));
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

  async #serveStream(
    endpoint: Endpoint,
    open: OpenCall,
    stream: {
      readonly method: DescMethod;
      readonly requests: AsyncQueue<Uint8Array>;
      readonly answers: AsyncQueue<MessageShape<DescMessage>>;
      /** Sends to the client. */
      readonly down: (deliver: () => void) => void;
    },
  ): Promise<void> {
    const { method, requests, answers, down } = stream;
    const atClient = (work: () => void): void => down(() => open.client.run(work));
    open.server = endpoint.process;
    const { signal } = open;
    signal.addEventListener('abort', () => requests.end(signal.reason), { once: true });
    let end: DomainError | undefined;
    try {
      for await (const bytes of endpoint.stream(method)(requests, signal)) {
        // What was still running when the process died says nothing any more.
        if (!endpoint.process.isAlive) return;
        atClient(() => {
          this.#options.onPacket?.(open.to, open.from, method, bytes);
          answers.push(fromBinary(method.output, bytes));
        });
      }
    } catch (error) {
      if (!isDomainError(error) && endpoint.process.isAlive) this.#options.onBug(error);
      end = overTheWire(error);
    }
    if (!endpoint.process.isAlive) return;
    atClient(() => {
      if (open.settle()) answers.end(end);
    });
  }

  #arrive(to: number, deliver: (endpoint: Endpoint) => void, refuse: () => void): void {
    const endpoint = this.#endpoints.get(to);
    if (endpoint === undefined || !endpoint.process.isAlive) refuse();
    else endpoint.process.run(() => deliver(endpoint));
  }

  #refuse(open: OpenCall): void {
    this.#links.send(open.to, open.from, () => open.client.run(() => open.fail(refused(open.to))));
  }
}

const noHeaders = new Headers();

function refused(to: number): DomainError {
  return new DomainError('NOT_AVAILABLE', `nobody listens at ${to}`, { outcomeUnknown: false });
}
