/**
 * The state of one subscription: where the reader is in each partition, and which upstream currently reads it. An upstream
 * is one Subscribe at one leader; a partition has at most one of them, its owner, and what comes from anybody else is
 * dropped. So records reach the reader once and in order however often leaders move.
 *
 * A partition is over when it failed for good (it does not exist, the offset is out of range): the reader is told once.
 */
import type { CursorEntry } from '@fleetmq/metadata';
import {
  DomainError,
  type ErrorName,
  readBytes,
  readErrorMessage,
  readUint32,
  type TopicId,
  type TopicPartitionName,
  visitFields,
  WireReader,
} from '@fleetmq/shared';
import { targetOf } from './entries.ts';
import { summarize } from './fetch.ts';
import { failureInBody, stepAfter } from './retry.ts';

/** One upstream, as far as the state cares: an identity. */
export type UpstreamId = object;

/** A partition of a subscription. */
export interface Reader extends TopicPartitionName {
  readonly topicId: TopicId;
  /** Undefined: it begins at its start. */
  nextOffset: number | undefined;
  owner: UpstreamId | undefined;
  /** Failed attempts in a row. */
  attempts: number;
  /** It is not asked for again before this (monotonic). */
  retryAtMs: number;
  isOver: boolean;
}

export interface Accepted {
  /** The parts of the answer that go to the reader, tags and lengths included. */
  readonly fields: readonly Uint8Array[];
  /** Partitions that the upstream has given up: they need another one. */
  readonly lost: readonly Reader[];
}

export class SubscriptionState {
  readonly #readers: ReadonlyMap<string, Reader>;

  constructor(readers: Iterable<Reader>) {
    this.#readers = new Map([...readers].map((reader) => [keyOf(reader), reader]));
  }

  /** Those that are not over. */
  *active(): Generator<Reader> {
    for (const reader of this.#readers.values()) if (!reader.isOver) yield reader;
  }

  get isOver(): boolean {
    return this.active().next().done === true;
  }

  ownedBy(upstream: UpstreamId): Reader[] {
    return [...this.active()].filter((reader) => reader.owner === upstream);
  }

  /** Takes an answer of an upstream. Throws the error that the answer as a whole carries. */
  accept(answer: Uint8Array, upstream: UpstreamId): Accepted {
    const fields: Uint8Array[] = [];
    const lost: Reader[] = [];
    let code = 0;
    let message = '';
    visitFields(new WireReader(answer), (field, reader, start) => {
      if (field === 3) {
        const content = readBytes(reader, 'partitions');
        const verdict = this.#acceptEntry(content, upstream);
        if (verdict === 'forward') fields.push(answer.subarray(start, reader.position));
        else if (verdict !== 'drop') lost.push(verdict);
      } else if (field === 1) code = readUint32(reader, 'error_code');
      else if (field === 2) message = readErrorMessage(reader);
    });
    if (code !== 0) throw new DomainError('NOT_AVAILABLE', `a broker answered code ${code}: ${message}`);
    return { fields, lost };
  }

  /** A partition lets go of its upstream and may be asked for again at `retryAtMs`. */
  release(reader: Reader, retryAtMs: number): void {
    reader.owner = undefined;
    reader.attempts++;
    reader.retryAtMs = retryAtMs;
  }

  *cursor(): Generator<CursorEntry> {
    for (const { topicId, partition, nextOffset } of this.#readers.values()) {
      if (nextOffset !== undefined) yield { topicId, partition, nextOffset };
    }
  }

  #acceptEntry(content: Uint8Array, upstream: UpstreamId): Reader | 'forward' | 'drop' {
    const reader = this.#readers.get(keyOf(targetOf(content)));
    if (reader === undefined || reader.isOver || reader.owner !== upstream) return 'drop';
    const { code, message, nextOffset } = summarize(content);
    if (code === 'OK') {
      if (nextOffset > (reader.nextOffset ?? -1)) reader.nextOffset = nextOffset;
      reader.attempts = 0;
      return 'forward';
    }
    if (isPassing({ code, message })) return reader;
    reader.isOver = true;
    return 'forward';
  }
}

/** Whether another attempt, at this leader or the next, may go better. */
export function isPassing(failure: { readonly code: ErrorName; readonly message: string }): boolean {
  return failure.code === 'STALE_EPOCH' || stepAfter(failureInBody(failure.code, failure.message), true) === 'retry';
}

function keyOf({ topic, partition }: TopicPartitionName): string {
  return `${topic}:${partition}`;
}
