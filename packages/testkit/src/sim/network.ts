/**
 * The network between simulated processes, as they see it: whoever listens at an address mounts the same routes as on a real
 * listener, callers use a Connect `Transport` or a lane (`lane.ts`). Messages travel as bytes (`wire.ts`), so that the wire
 * forms are part of what is simulated.
 */
import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import type { Transport } from '@connectrpc/connect';
import type { LaneTransport, ServiceRoutes } from '@fleetmq/shared/runtime';
import { Endpoint } from './endpoint.ts';
import { type LaneWindows, SimLane } from './lane.ts';
import { Links, type LinksOptions, type NetworkCounters } from './links.ts';
import type { SimProcess } from './process.ts';
import { Wire, type WireCall } from './wire.ts';

/** Sees each message of a typed unary call as it leaves its sender, and as it reaches a process that runs. Must not throw. */
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
  /** After which PINGs have found out about a peer that says nothing. Default: nobody sends any. */
  readonly keepaliveMs?: number;
}

export class SimNetwork {
  readonly #options: NetworkOptions;
  readonly #endpoints = new Map<number, Endpoint>();
  readonly #links: Links;
  readonly #wire: Wire;

  constructor(options: NetworkOptions) {
    const { time, onPacket, onBug, breakMs = 2_000, keepaliveMs } = options;
    this.#options = options;
    this.#links = new Links(options);
    this.#wire = new Wire({
      ...{ time, onPacket, onBug, breakMs, keepaliveMs },
      links: this.#links,
      endpointAt: (address) => this.#endpoints.get(address),
    });
  }

  get counters(): NetworkCounters {
    return this.#links.counters;
  }

  /** `draining` aborts when the listener begins to close. Default: it never does. */
  listen(
    id: number,
    process: SimProcess,
    routes: readonly ServiceRoutes[],
    draining: AbortSignal = new AbortController().signal,
  ): void {
    this.#endpoints.set(id, new Endpoint(process, routes, draining));
  }

  cut(from: number, to: number): void {
    this.#links.cut(from, to);
    this.#wire.cut(from, to);
  }

  isCut(from: number, to: number): boolean {
    return this.#links.isCut(from, to);
  }

  healAll(): void {
    this.#links.healAll();
  }

  /** To be called when a process has ended. `isSilent`: nobody is told; half-open connections end after a while. */
  ended(process: SimProcess, isSilent: boolean): void {
    this.#wire.ended(process, isSilent);
  }

  /** To be called when a process was paused. */
  paused(process: SimProcess): void {
    this.#wire.paused(process);
  }

  /** Calls from a process, which has the address `from`, to whoever listens at `to`. */
  transport(from: number, process: SimProcess, to: number): Transport {
    return {
      unary: async (method, signal, timeoutMs, header, input) => {
        if (!process.isAlive) await new Promise(() => undefined);
        const message = (await this.#unary(
          headed({ from, to, process, method, signal, timeoutMs }, header),
          input,
        )) as never;
        return { stream: false, service: method.parent, method, header: noHeaders, trailer: noHeaders, message };
      },
      stream: async (method, signal, timeoutMs, header, input) => {
        if (!process.isAlive) await new Promise(() => undefined);
        const message = this.#stream(headed({ from, to, process, method, signal, timeoutMs }, header), input) as never;
        return { stream: true, service: method.parent, method, header: noHeaders, trailer: noHeaders, message };
      },
    };
  }

  /** The same with raw calls beside the typed ones. */
  lane(from: number, process: SimProcess, to: number, windows: Partial<LaneWindows> = {}): LaneTransport {
    return new SimLane(this.#wire, { from, to, process, typed: this.transport(from, process, to), windows });
  }

  #unary(call: WireCall, input: MessageInitShape<DescMessage>): Promise<MessageShape<DescMessage>> {
    const { from, to, method } = call;
    const { observe } = this.#options;
    const request = create(method.input, input);
    const asked = { from, to, method, kind: 'request', message: request } as const;
    observe?.({ ...asked, stage: 'leaves' });
    return this.#wire.unary({
      ...call,
      bytes: toBinary(method.input, request),
      onArrival: () => observe?.({ ...asked, stage: 'arrives' }),
      decode: (bytes) => {
        const message = fromBinary(method.output, bytes);
        observe?.({ from: to, to: from, method, kind: 'response', message, stage: 'leaves' });
        return message;
      },
      onAnswer: (message) => observe?.({ from: to, to: from, method, kind: 'response', message, stage: 'arrives' }),
    });
  }

  #stream(call: WireCall, input: AsyncIterable<unknown>): AsyncIterable<MessageShape<DescMessage>> {
    const { process, method } = call;
    const stream = this.#wire.stream({ ...call, windowBytes: Number.POSITIVE_INFINITY });
    const send = async (): Promise<void> => {
      for await (const item of input) {
        if (!process.isAlive) return;
        stream.requests.send(toBinary(method.input, create(method.input, item as never)));
      }
      stream.end();
    };
    send().catch((error: unknown) => this.#options.onBug(error));
    return decoded(method, stream.answers);
  }
}

const noHeaders = new Headers();

function headed(call: WireCall, header: HeadersInit | undefined): WireCall {
  return header === undefined ? call : { ...call, headers: Object.fromEntries(new Headers(header)) };
}

async function* decoded(
  method: DescMethod,
  answers: AsyncIterable<Uint8Array>,
): AsyncGenerator<MessageShape<DescMessage>> {
  for await (const bytes of answers) yield fromBinary(method.output, bytes);
}
