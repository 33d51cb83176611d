/**
 * Producer ids from the cluster. All partitions of a producer begin under one shared identity; a partition whose sequence
 * broke gets one of its own. Ids are asked for without a transactional id: they serve idempotence alone.
 * Asking twice costs an id and nothing else, so it is retried freely.
 */
import { ProducerService } from '@fleetmq/gen/client/producer';
import type { DomainError } from '@fleetmq/shared';
import type { Metadata } from '../metadata.ts';
import { checkBody, toClientError } from '../rpc/errors.ts';
import type { ProducerIdentity } from './window.ts';

export class IdentitySource {
  readonly #metadata: Metadata;
  readonly #clientId: string;
  readonly #timeoutMs: number;
  #shared: Promise<ProducerIdentity> | undefined;
  /** Why the last request failed; undefined once one succeeded. */
  lastError: DomainError | undefined;

  constructor(metadata: Metadata, clientId: string, timeoutMs: number) {
    this.#metadata = metadata;
    this.#clientId = clientId;
    this.#timeoutMs = timeoutMs;
  }

  /** The shared identity, or a fresh one that nobody else uses. */
  async acquire(isFresh: boolean, signal: AbortSignal): Promise<ProducerIdentity> {
    if (isFresh) return await this.#ask(signal);
    this.#shared ??= this.#ask(signal);
    try {
      return await this.#shared;
    } catch (error) {
      this.#shared = undefined;
      throw error;
    }
  }

  async #ask(signal: AbortSignal): Promise<ProducerIdentity> {
    try {
      const { producerId, producerEpoch } = await this.#metadata.call(
        { timeoutMs: this.#timeoutMs, signal },
        async (channel, call) =>
          checkBody(
            await channel.unary(ProducerService.method.initTransaction, { clientId: this.#clientId }, call),
            'producer id',
          ),
      );
      this.lastError = undefined;
      return { producerId, producerEpoch };
    } catch (thrown) {
      this.lastError = toClientError(thrown);
      throw this.lastError;
    }
  }
}
