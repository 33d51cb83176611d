/**
 * Calls of the simulated network as bytes, over links (`links.ts`): what Connect's transport (`network.ts`) and the lane
 * (`lane.ts`) are made of.
 *
 * A lost request leaves its caller waiting until its deadline; a packet to a port that nobody listens on is refused; a process
 * that was killed resets its connections, one that lost power says nothing. A stream keeps its order, as TCP does, and breaks
 * when a packet of it meets a cut.
 */
import type { DescMethod } from '@bufbuild/protobuf';
import { DomainError, isDomainError } from '@fleetmq/shared';
import type { Scheduled, VirtualTime } from './clock.ts';
import { type CallFacts, type Endpoint, overTheWire } from './endpoint.ts';
import { Flow } from './flow.ts';
import type { Links } from './links.ts';
import { type CallEnds, connectionLost, type OpenCall, OpenCalls } from './open-calls.ts';
import type { SimProcess } from './process.ts';
import { AsyncQueue } from './queue.ts';

export interface WireOptions {
  readonly time: VirtualTime;
  readonly links: Links;
  readonly endpointAt: (address: number) => Endpoint | undefined;
  /** Sees what arrives, for the trace. */
  readonly onPacket: ((from: number, to: number, method: DescMethod, bytes: Uint8Array) => void) | undefined;
  /** A handler threw what is no DomainError: a bug. */
  readonly onBug: (error: unknown) => void;
  /** After which a stream over a cut link is given up. */
  readonly breakMs: number;
  /** After which PINGs have found out about a peer that says nothing. Undefined: nobody sends any. */
  readonly keepaliveMs: number | undefined;
}

export interface WireCall extends CallEnds {
  readonly method: DescMethod;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

export interface UnaryWireCall<Answer> extends WireCall {
  readonly bytes: Uint8Array;
  /** The request has reached a process that runs. */
  readonly onArrival?: () => void;
  /** What the caller makes of the answer; called once, when the answer leaves. */
  readonly decode: (bytes: Uint8Array) => Answer;
  /** The answer has reached the caller. */
  readonly onAnswer?: (answer: Answer) => void;
}

export interface StreamWireCall extends WireCall {
  /** Bytes that may be under way in one direction. */
  readonly windowBytes: number;
}

export interface WireStream {
  readonly answers: AsyncQueue<Uint8Array>;
  /** Requests. */
  readonly requests: Flow;
  /** No request comes after those that were sent. */
  readonly end: () => void;
  /** Why it is over, once it is. */
  readonly over: { readonly error: DomainError | undefined } | undefined;
  /** Ends it at the caller; the server hears of it. */
  cancel(reason: DomainError): void;
}

export class Wire {
  readonly #options: WireOptions;
  readonly #calls: OpenCalls;

  constructor(options: WireOptions) {
    this.#options = options;
    this.#calls = new OpenCalls(options.links, options.time);
  }

  /** To be called when a process has ended. `isSilent`: nobody is told; half-open connections end after a while. */
  ended(process: SimProcess, isSilent: boolean): void {
    const { breakMs, keepaliveMs } = this.#options;
    this.#calls.ended(process, isSilent ? breakMs : undefined);
    // The news of a kill may be lost, too.
    if (keepaliveMs !== undefined) this.#later(() => this.#calls.lostServer(process));
  }

  /** A link was cut. Whoever sends PINGs finds out, if it stays so. */
  cut(from: number, to: number): void {
    if (this.#options.keepaliveMs === undefined) return;
    this.#later(() => {
      if (this.#options.links.isCut(from, to)) this.#calls.lostLink(from, to);
    });
  }

  /** The process stands still. Whoever sends PINGs finds out, if it stays so. */
  paused(process: SimProcess): void {
    if (this.#options.keepaliveMs === undefined) return;
    this.#later(() => {
      if (process.isPaused) this.#calls.lostServer(process);
    });
  }

  unary<Answer>(call: UnaryWireCall<Answer>): Promise<Answer> {
    const { from, to, process, method, bytes, signal } = call;
    const { links, onPacket } = this.#options;
    return new Promise((resolve, reject) => {
      const open = this.#calls.begin(call, reject);
      if (open === undefined) return;
      const deliver = (endpoint: Endpoint): void => {
        open.server = endpoint.process;
        onPacket?.(from, to, method, bytes);
        call.onArrival?.();
        void this.#serve(endpoint, open, call).then((outcome) => {
          if (!endpoint.process.isAlive) return;
          if (isDomainError(outcome)) {
            links.send(to, from, () => process.run(() => open.fail(overTheWire(outcome))));
            return;
          }
          const answer = call.decode(outcome);
          links.send(to, from, () =>
            process.run(() => {
              onPacket?.(to, from, method, outcome);
              call.onAnswer?.(answer);
              if (open.settle()) resolve(answer);
            }),
          );
        });
      };
      if (signal?.aborted) return;
      links.send(from, to, () => this.#arrive(open, deliver));
    });
  }

  stream(call: StreamWireCall): WireStream {
    const { from, to, windowBytes } = call;
    const { links } = this.#options;
    let over: WireStream['over'];
    const answers = new AsyncQueue<Uint8Array>((taken) => answerFlow.taken(taken));
    const finish = (error: DomainError | undefined): void => {
      over = { error };
      requestFlow.drop();
      answers.end(error);
    };
    const open = this.#calls.begin(call, (error) => finish(reasonOf(error)));
    const broken = (): void => this.#break(open);
    const up = links.ordered(from, to, broken);
    const down = links.ordered(to, from, broken);
    // Until the server takes the stream, what arrives waits in its socket.
    const atServer = (work: () => void): void => {
      if (open?.server === undefined) work();
      else open.server.run(work);
    };
    const atClient = (work: () => void): void => down(() => open?.client.run(work));
    const requests = new AsyncQueue<Uint8Array>((taken) => requestFlow.taken(taken));
    const requestFlow = new Flow({
      windowBytes,
      transmit: (message) => up(() => atServer(() => requests.push(message))),
      returnCredit: (bytes) => atClient(() => requestFlow.onCredit(bytes)),
    });
    const answerFlow = new Flow({
      windowBytes,
      transmit: (message) =>
        atClient(() => {
          this.#options.onPacket?.(to, from, call.method, message);
          answers.push(message);
        }),
      returnCredit: (bytes) => up(() => atServer(() => answerFlow.onCredit(bytes))),
    });
    const answered = (error: DomainError | undefined): void =>
      answerFlow.finish(() =>
        atClient(() => {
          if (open?.settle() === true) finish(error);
        }),
      );
    if (open !== undefined) {
      const serve = (endpoint: Endpoint): void => {
        void this.#serveStream(endpoint, open, { call, requests, answerFlow, end: answered });
      };
      up(() => this.#arrive(open, serve));
    }
    return {
      ...{ answers, requests: requestFlow },
      end: () => requestFlow.finish(() => up(() => atServer(() => requests.end()))),
      get over() {
        return over;
      },
      cancel: (reason) => open?.giveUp(reason),
    };
  }

  async #serve<Answer>(
    endpoint: Endpoint,
    open: OpenCall,
    call: UnaryWireCall<Answer>,
  ): Promise<Uint8Array | DomainError> {
    try {
      return await endpoint.unary(call.method)(call.bytes, this.#facts(open, call));
    } catch (error) {
      if (isDomainError(error)) return error;
      if (endpoint.process.isAlive) this.#options.onBug(error);
      return new DomainError('UNKNOWN_ERROR', String(error));
    }
  }

  async #serveStream(
    endpoint: Endpoint,
    open: OpenCall,
    stream: {
      readonly call: StreamWireCall;
      readonly requests: AsyncQueue<Uint8Array>;
      readonly answerFlow: Flow;
      readonly end: (error: DomainError | undefined) => void;
    },
  ): Promise<void> {
    const { call, requests, answerFlow } = stream;
    open.server = endpoint.process;
    const { signal } = open;
    const onAbort = (): void => {
      requests.end(signal.reason);
      answerFlow.drop();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    let end: DomainError | undefined;
    try {
      for await (const bytes of endpoint.stream(call.method)(requests, this.#facts(open, call))) {
        // What was still running when the process died says nothing any more.
        if (!endpoint.process.isAlive) return;
        answerFlow.send(bytes);
        if (answerFlow.waitingBytes > 0) await answerFlow.drained(0);
        if (call.windowBytes !== Number.POSITIVE_INFINITY && signal.aborted) return;
      }
    } catch (error) {
      if (!isDomainError(error) && endpoint.process.isAlive) this.#options.onBug(error);
      end = overTheWire(error);
    }
    if (endpoint.process.isAlive) stream.end(end);
  }

  #facts(open: OpenCall, { from, timeoutMs, headers = noHeaders }: WireCall): CallFacts {
    const { time } = this.#options;
    const untilMs = timeoutMs === undefined ? undefined : time.nowMs + timeoutMs;
    return {
      ...{ from, headers },
      get signal() {
        return open.signal;
      },
      deadlineMs: () => (untilMs === undefined ? undefined : Math.max(0, untilMs - time.nowMs)),
    };
  }

  #break(open: OpenCall | undefined): void {
    if (open === undefined) return;
    const { time, breakMs } = this.#options;
    time.after(breakMs, () => open.client.run(() => open.fail(connectionLost())));
    time.after(breakMs, () => open.abort(connectionLost()));
  }

  #arrive(open: OpenCall, deliver: (endpoint: Endpoint) => void): void {
    const endpoint = this.#options.endpointAt(open.to);
    if (endpoint === undefined || !endpoint.process.isAlive) {
      this.#refuse(open);
      return;
    }
    // Who answers PINGs, or does not: also a process that stands still, and may die before it takes the call.
    if (this.#options.keepaliveMs !== undefined) open.server = endpoint.process;
    endpoint.process.run(() => deliver(endpoint));
  }

  #refuse(open: OpenCall): void {
    const refuse = (): void => open.client.run(() => open.fail(refused(open.to)));
    this.#options.links.send(open.to, open.from, refuse);
    if (this.#options.keepaliveMs !== undefined) this.#later(refuse);
  }

  #later(work: () => void): Scheduled {
    return this.#options.time.after(this.#options.keepaliveMs as number, work);
  }
}

const noHeaders: Readonly<Record<string, string>> = {};

function reasonOf(error: unknown): DomainError {
  return isDomainError(error) ? error : new DomainError('CANCELLED', 'the call was cancelled', { cause: error });
}

function refused(to: number): DomainError {
  return new DomainError('NOT_AVAILABLE', `nobody listens at ${to}`, { outcomeUnknown: false });
}
