/**
 * Producer ids, handed out from blocks that the controllers give. A block is used up before the next is asked for, one
 * request at a time; what is left of a block when the process ends is never used, so an id is given out once for ever.
 */
import { ControllerBrokerService } from '@fleetmq/gen/controller/cluster';
import { apiVersion } from '@fleetmq/metadata';
import type { ControllerCalls } from '@fleetmq/metadata/link';
import { assertOk } from './assert-ok.ts';

export interface ProducerIdsOptions {
  readonly localId: number;
  readonly calls: ControllerCalls;
  readonly brokerEpoch: () => number;
  /** Ids of one block. Default 1,000. */
  readonly blockSize: number;
}

const callTimeoutMs = 10_000;

export class ProducerIds {
  readonly #options: ProducerIdsOptions;
  #next = 0n;
  #end = 0n;
  #asking: Promise<void> | undefined;

  constructor(options: ProducerIdsOptions) {
    this.#options = options;
  }

  /** An id that nobody else has. NOT_AVAILABLE or TIMEOUT when the controllers give no block. */
  async next(): Promise<bigint> {
    while (this.#next >= this.#end) {
      this.#asking ??= this.#ask().finally(() => {
        this.#asking = undefined;
      });
      await this.#asking;
    }
    return this.#next++;
  }

  async #ask(): Promise<void> {
    const { calls, localId, brokerEpoch, blockSize } = this.#options;
    // Repeating the call costs at most a block that nobody uses.
    const answer = await calls.unary(
      ControllerBrokerService.method.allocateProducerIds,
      { version: apiVersion, brokerId: localId, brokerEpoch: BigInt(brokerEpoch()), count: blockSize },
      { timeoutMs: callTimeoutMs, idempotent: true },
    );
    assertOk(answer);
    this.#next = answer.firstProducerId;
    this.#end = answer.firstProducerId + BigInt(answer.count);
  }
}
