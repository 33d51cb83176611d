/**
 * One ProduceStream at one server, for small batches: a call of its own costs both sides more than such a batch, in time and
 * above all in objects that live until a full collection. Opened by the first request, closed when it was idle for a while,
 * and opened again after it broke.
 *
 * A request is settled once: by its answer, by the end of the stream, or at its deadline. What the end of a stream leaves
 * open has an unknown outcome. Bounds: the sender's, for requests and for the bytes of each.
 */
import { fromBinary } from '@bufbuild/protobuf';
import { type ProduceResponse, ProduceResponseSchema, ProducerService } from '@fleetmq/gen/client/producer';
import { DomainError, type Timer } from '@fleetmq/shared';
import type { ClientPorts } from '../ports.ts';
import type { BidiCall, RawMessage, StreamingChannel } from '../rpc/channel.ts';
import { toClientError } from '../rpc/errors.ts';

/** How often it looks for requests that are too late, and whether it is idle. */
const lookEveryMs = 1000;
const idleMs = 30_000;

interface Waiter {
  readonly deadlineMs: number;
  readonly resolve: (answer: ProduceResponse) => void;
  readonly reject: (error: DomainError) => void;
}

export class ProduceStream {
  readonly #channel: StreamingChannel;
  readonly #ports: Pick<ClientPorts, 'clock' | 'timers'>;
  readonly #signal: AbortSignal;
  readonly #waiters = new Map<number, Waiter>();
  #call: BidiCall | undefined;
  #nextId = 1;
  #usedAtMs = 0;
  #timer: Timer | undefined;

  /** `signal` ends the stream, and everything that waits, with its reason. */
  constructor(channel: StreamingChannel, ports: Pick<ClientPorts, 'clock' | 'timers'>, signal: AbortSignal) {
    this.#channel = channel;
    this.#ports = ports;
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#timer?.cancel(), { once: true });
  }

  /** Sends what `encode` makes of a correlation id. Rejects with the stream's end, or TIMEOUT; both leave the outcome unknown. */
  send(encode: (correlationId: number) => RawMessage, timeoutMs: number): Promise<ProduceResponse> {
    const id = this.#nextId++;
    this.#usedAtMs = this.#ports.clock.monotonicMs();
    return new Promise((resolve, reject) => {
      try {
        this.#call ??= this.#open();
        this.#call.send(encode(id));
      } catch (thrown) {
        reject(toClientError(thrown));
        return;
      }
      this.#waiters.set(id, { deadlineMs: this.#usedAtMs + timeoutMs, resolve, reject });
      this.#timer ??= this.#lookLater();
    });
  }

  #open(): BidiCall {
    const call = this.#channel.rawBidi(ProducerService.method.produceStream, { signal: this.#signal });
    void this.#read(call);
    return call;
  }

  /** Takes answers until the stream ends. Never rejects. */
  async #read(call: BidiCall): Promise<void> {
    const ended = `${this.#channel.address} has ended the stream`;
    let reason = new DomainError('NOT_AVAILABLE', ended, { outcomeUnknown: true });
    try {
      for await (const answer of call.responses) this.#take(fromBinary(ProduceResponseSchema, answer));
    } catch (thrown) {
      reason = toClientError(thrown);
    }
    if (this.#call !== call) return;
    this.#call = undefined;
    const waiters = [...this.#waiters.values()];
    this.#waiters.clear();
    for (const { reject } of waiters) reject(reason);
  }

  /** The answer to a request that was given up already is of no use. */
  #take(answer: ProduceResponse): void {
    const id = Number(answer.correlationId);
    const waiter = this.#waiters.get(id);
    this.#waiters.delete(id);
    waiter?.resolve(answer);
  }

  #look(): void {
    this.#timer = undefined;
    if (this.#signal.aborted) return;
    const nowMs = this.#ports.clock.monotonicMs();
    for (const [id, { deadlineMs, reject }] of this.#waiters) {
      if (deadlineMs > nowMs) continue;
      this.#waiters.delete(id);
      reject(new DomainError('TIMEOUT', `no answer of ${this.#channel.address} in time`, { outcomeUnknown: true }));
    }
    if (this.#waiters.size === 0 && nowMs - this.#usedAtMs > idleMs) {
      this.#call?.end();
      this.#call = undefined;
    }
    if (this.#call !== undefined) this.#timer = this.#lookLater();
  }

  #lookLater(): Timer {
    return this.#ports.timers.after(lookEveryMs, () => this.#look());
  }
}
