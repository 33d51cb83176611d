/**
 * One upstream of a subscription: a Subscribe stream at one leader, read one message at a time. The next message is asked
 * for only after the last one was taken, so what waits here is one message, and the rest stays with the broker by flow
 * control.
 */
import { toBinary } from '@bufbuild/protobuf';
import { ConsumerService, type SubscribeRequest, SubscribeRequestSchema } from '@fleetmq/gen/client/consumer';
import { DomainError, isDomainError } from '@fleetmq/shared';
import type { LaneTransport } from '@fleetmq/shared/runtime';
import type { Leader } from '../domain/locate.ts';

export type SourceEvent =
  | { readonly kind: 'message'; readonly bytes: Uint8Array }
  /** The stream is over; without an error it ended by itself. */
  | { readonly kind: 'end'; readonly error: DomainError | undefined };

export class SubscriptionSource {
  readonly leader: Leader;
  readonly #messages: AsyncIterator<Uint8Array>;
  readonly #ending = new AbortController();
  readonly #onReady: () => void;
  readonly #clockMs: () => number;
  #event: SourceEvent | undefined;
  #askedAtMs = 0;

  constructor(
    leader: Leader,
    transport: LaneTransport,
    request: SubscribeRequest,
    options: {
      readonly headers: Record<string, string>;
      /** Called when `take` has something to give. */
      readonly onReady: () => void;
      readonly clockMs: () => number;
    },
  ) {
    this.leader = leader;
    this.#onReady = options.onReady;
    this.#clockMs = options.clockMs;
    const bytes = toBinary(SubscribeRequestSchema, request);
    const { signal } = this.#ending;
    const { headers } = options;
    this.#messages = transport.rawServerStream(ConsumerService.method.subscribe, bytes, { signal, headers });
    this.#ask();
  }

  /** What has come, once; undefined: nothing yet. Taking a message asks for the next one. */
  take(): SourceEvent | undefined {
    const event = this.#event;
    if (event?.kind !== 'message') return event;
    this.#event = undefined;
    this.#ask();
    return event;
  }

  /** How long the leader has said nothing although it was asked to. */
  silentMs(): number {
    return this.#event === undefined ? this.#clockMs() - this.#askedAtMs : 0;
  }

  /** Cancels the stream. */
  close(): void {
    this.#ending.abort(new DomainError('CANCELLED', 'the subscription left this leader'));
  }

  #ask(): void {
    this.#askedAtMs = this.#clockMs();
    this.#messages.next().then(
      (next) => {
        this.#event = next.done === true ? { kind: 'end', error: undefined } : { kind: 'message', bytes: next.value };
        this.#onReady();
      },
      (thrown: unknown) => {
        const error = isDomainError(thrown)
          ? thrown
          : new DomainError('UNKNOWN_ERROR', 'a subscription failed', { cause: thrown });
        this.#event = { kind: 'end', error };
        this.#onReady();
      },
    );
  }
}
