/**
 * Commands about single partitions. Truth is the watch: a command is only checked against what is known, and waits until the
 * watch has brought what it announces. An older one is refused: it must never undo what came later.
 */
import type { MetadataWatch } from '@fleetmq/metadata/link';
import { DomainError, type Timers, type TopicId } from '@fleetmq/shared';

export interface AssignmentCommand {
  /** Raft term of the controller that sends it. */
  readonly controllerEpoch: bigint;
  readonly metadataVersion: bigint;
  readonly topicId: string;
  readonly partition: number;
}

const waitMaxMs = 5_000;

export class Assignments {
  readonly #watch: MetadataWatch;
  readonly #timers: Timers;
  #controllerEpoch = 0n;

  constructor(watch: MetadataWatch, timers: Timers) {
    this.#watch = watch;
    this.#timers = timers;
  }

  /**
   * Resolves with the applied version once it has what the command announces.
   * STALE_EPOCH for an older controller or version, NOT_AVAILABLE when the watch does not bring it within 5 s.
   */
  async follow(command: AssignmentCommand, signal: AbortSignal): Promise<number> {
    if (command.controllerEpoch < this.#controllerEpoch) {
      const text = `controller epoch ${this.#controllerEpoch} is known, not ${command.controllerEpoch}`;
      throw new DomainError('STALE_EPOCH', text);
    }
    this.#controllerEpoch = command.controllerEpoch;
    const { version } = this.#watch;
    if (command.metadataVersion < BigInt(version)) {
      throw new DomainError('STALE_EPOCH', `metadata version ${version} is applied, not ${command.metadataVersion}`);
    }
    await this.#reach(Number(command.metadataVersion), signal);
    return this.#watch.version;
  }

  /** TOPIC_NOT_FOUND or PARTITION_NOT_FOUND unless the metadata has this partition under this topic id. */
  assertKnown(topicId: string, partition: number): void {
    const { image } = this.#watch;
    if (image.topicById(topicId as TopicId) === undefined) {
      throw new DomainError('TOPIC_NOT_FOUND', `there is no topic with id ${topicId}`);
    }
    if (image.partition(topicId as TopicId, partition) === undefined) {
      throw new DomainError('PARTITION_NOT_FOUND', `topic ${topicId} has no partition ${partition}`);
    }
  }

  async #reach(version: number, signal: AbortSignal): Promise<void> {
    const late = new AbortController();
    const timer = this.#timers.after(waitMaxMs, () => {
      late.abort(new DomainError('NOT_AVAILABLE', `metadata version ${version} has not arrived yet`));
    });
    try {
      await this.#watch.waitForVersion(version, AbortSignal.any([signal, late.signal]));
    } finally {
      timer.cancel();
    }
  }
}
