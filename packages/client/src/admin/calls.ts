/**
 * How admin calls are made: through a gateway, within bounds, and repeated where that does no harm.
 *
 * Retries: calls that only read, or whose repetition changes nothing more, freely. A creation or deletion whose first attempt
 * has an unknown outcome is repeated too, and an answer that it is done already then counts as success.
 */
import { DomainError, type ErrorName } from '@fleetmq/shared';
import type { CallBounds, Metadata } from '../metadata.ts';
import type { Channel, UnaryCall } from '../rpc/channel.ts';
import { toClientError } from '../rpc/errors.ts';

export interface AdminDeps {
  readonly metadata: Metadata;
  readonly clientId: string;
  readonly timeoutMs: number;
}

type Run<Result> = (channel: Channel, call: UnaryCall) => Promise<Result>;

export class AdminCalls {
  readonly #metadata: Metadata;
  readonly #timeoutMs: number;
  readonly clientId: string;

  constructor({ metadata, clientId, timeoutMs }: AdminDeps) {
    this.#metadata = metadata;
    this.clientId = clientId;
    this.#timeoutMs = timeoutMs;
  }

  bounds({ timeoutMs, signal }: CallBounds): { readonly timeoutMs: number; readonly signal: AbortSignal | undefined } {
    return { timeoutMs: timeoutMs ?? this.#timeoutMs, signal };
  }

  /** The servers that this client asks must know this version from now on. */
  noteVersion(version: bigint): void {
    this.#metadata.noteVersion(version);
  }

  read<Result>(options: CallBounds, run: Run<Result>): Promise<Result> {
    this.#assertGateway();
    return this.#metadata.call(this.bounds(options), run);
  }

  /** Undefined: an earlier attempt, whose answer was lost, has done it. */
  async change<Result>(doneCode: ErrorName, options: CallBounds, run: Run<Result>): Promise<Result | undefined> {
    this.#assertGateway();
    let mayBeDone = false;
    return await this.#metadata.call(this.bounds(options), async (channel, call) => {
      try {
        return await run(channel, call);
      } catch (thrown) {
        const error = toClientError(thrown);
        if (mayBeDone && error.code === doneCode) return undefined;
        mayBeDone ||= error.outcomeUnknown;
        throw error;
      }
    });
  }

  #assertGateway(): void {
    if (this.#metadata.viaGateway) return;
    throw new DomainError('UNIMPLEMENTED', 'brokers do not serve admin calls: connect to a gateway with { url }');
  }
}
