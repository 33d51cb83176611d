/**
 * The client's lane over the simulated network: raw calls with back-pressure, and the typed ones. As the real one it fails
 * with DomainErrors, never repeats a call, and says of a call that was broken that its outcome is not known.
 * A process that is dead gets no answer.
 */
import type { DescMethod } from '@bufbuild/protobuf';
import type { Transport } from '@connectrpc/connect';
import { DomainError } from '@fleetmq/shared';
import type { LaneTransport, RawBidiCall, RawCallOptions, RawMessage } from '@fleetmq/shared/runtime';
import { bytesOf } from './endpoint.ts';
import type { SimProcess } from './process.ts';
import type { Wire, WireStream } from './wire.ts';

export interface LaneWindows {
  /** Bytes that may be under way in one direction of a stream. Default 1 MiB. */
  readonly streamBytes: number;
  /** Request bytes of a stream above which `send` says false; at twice as many it refuses. Default 1 MiB. */
  readonly sendBufferBytes: number;
}

export interface LaneParts {
  readonly from: number;
  readonly to: number;
  readonly process: SimProcess;
  readonly typed: Transport;
  readonly windows: Partial<LaneWindows>;
}

const mebibyte = 1024 * 1024;
const defaultTimeoutMs = 30_000;

export class SimLane implements LaneTransport {
  readonly baseUrl: string;
  readonly unary: LaneTransport['unary'];
  readonly stream: LaneTransport['stream'];
  readonly #wire: Wire;
  readonly #parts: LaneParts;
  readonly #windows: LaneWindows;
  #openCalls = 0;

  constructor(wire: Wire, parts: LaneParts) {
    const { typed, to } = parts;
    this.#wire = wire;
    this.#parts = parts;
    this.#windows = { streamBytes: mebibyte, sendBufferBytes: mebibyte, ...parts.windows };
    this.baseUrl = `http://node:${to}`;
    this.unary = (method, signal, timeoutMs = defaultTimeoutMs, ...rest) =>
      this.#counted(typed.unary(method, signal, timeoutMs, ...rest));
    this.stream = (...args) => typed.stream(...args);
  }

  get openCalls(): number {
    return this.#openCalls;
  }

  async rawUnary(method: DescMethod, message: RawMessage, options: RawCallOptions = {}): Promise<Uint8Array> {
    const { from, to, process } = this.#parts;
    const bytes = bytesOf(message);
    if (!process.isAlive) await new Promise(() => undefined);
    const { signal, timeoutMs = defaultTimeoutMs, headers } = options;
    const call = { ...{ from, to, process, method, bytes, signal, timeoutMs, headers }, decode: same };
    return await this.#counted(this.#wire.unary(call));
  }

  rawServerStream(
    method: DescMethod,
    message: RawMessage,
    options: RawCallOptions = {},
  ): AsyncIterableIterator<Uint8Array> {
    const stream = this.#open(method, options);
    if (stream.over === undefined) {
      stream.requests.send(bytesOf(message));
      stream.end();
    }
    return responsesOf(stream);
  }

  rawBidi(method: DescMethod, options: RawCallOptions = {}): RawBidiCall {
    const { sendBufferBytes } = this.#windows;
    const stream = this.#open(method, options);
    const { requests } = stream;
    return {
      send: (message) => {
        if (stream.over !== undefined) throw overError(stream.over);
        const bytes = bytesOf(message);
        const { waitingBytes } = requests;
        if (waitingBytes > 0 && waitingBytes + bytes.length > 2 * sendBufferBytes) {
          throw new DomainError('LIMIT_EXCEEDED', `${waitingBytes} bytes wait to be sent: wait for drained()`);
        }
        requests.send(bytes);
        return requests.waitingBytes < sendBufferBytes;
      },
      drained: async () => {
        await requests.drained(sendBufferBytes - 1);
        if (stream.over !== undefined) throw overError(stream.over);
      },
      end: () => stream.end(),
      responses: responsesOf(stream),
      close: () => stream.cancel(new DomainError('CANCELLED', 'the call was closed')),
    };
  }

  /** What is open ends with its process. */
  close(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #open(method: DescMethod, { signal, timeoutMs, headers }: RawCallOptions): WireStream {
    const { from, to, process } = this.#parts;
    const { streamBytes } = this.#windows;
    return this.#wire.stream({ from, to, process, method, signal, timeoutMs, headers, windowBytes: streamBytes });
  }

  async #counted<Answer>(answer: Promise<Answer>): Promise<Answer> {
    this.#openCalls++;
    try {
      return await answer;
    } finally {
      this.#openCalls--;
    }
  }
}

function responsesOf(stream: WireStream): AsyncIterableIterator<Uint8Array> {
  const answers = stream.answers[Symbol.asyncIterator]();
  const responses: AsyncIterableIterator<Uint8Array> = {
    next: () => answers.next(),
    return: async () => {
      stream.cancel(new DomainError('CANCELLED', 'the consumer left the stream'));
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]: () => responses,
  };
  return responses;
}

function overError({ error }: { readonly error: DomainError | undefined }): DomainError {
  return error ?? new DomainError('CANCELLED', 'the call has ended');
}

function same(bytes: Uint8Array): Uint8Array {
  return bytes;
}
