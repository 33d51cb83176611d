/** The options of a consumer, with their defaults and bounds; checked once, when the consumer is made. */
import type { Codecs } from '@fleetmq/record';
import { type Checksum, DomainError } from '@fleetmq/shared';
import type { Metadata } from '../metadata.ts';
import type { PartitionRef, Position } from '../offsets.ts';
import type { ClientPorts } from '../ports.ts';
import { inRange } from '../producer/options.ts';
import type { Serde } from '../serde.ts';
import type { FetcherOptions } from './fetcher.ts';
import { checkUntil, type Until } from './progress.ts';

export interface ConsumerOptions<Key, Value> {
  /** One topic, all its partitions. Exactly one of `topic`, `topics` and `assignment`. */
  readonly topic?: string;
  /** Several topics, all their partitions. */
  readonly topics?: readonly string[];
  /** These partitions; each may have a start of its own. */
  readonly assignment?: readonly (PartitionRef & { readonly from?: Position })[];
  /** Where to begin. Default `latest`. A Date: the first record at or after it. */
  readonly from?: Position;
  /** Where to end: the end as of the start, an offset or time that is not read any more, or after so many records. Default: never. */
  readonly until?: Until;
  /** Default: bytes as they are. */
  readonly key?: Serde<Key>;
  /** Default: bytes as they are. */
  readonly value?: Serde<Value>;
  /** Bytes that are received and not handed over, before inflation. Default 16 MiB; one answer per server and two inflated batches come on top. */
  readonly maxBytesInFlight?: number;
  /** Bytes of one answer. Default 1 MiB, at most 3 MiB. */
  readonly maxBytes?: number;
  /** When an offset is not in the log (any more). Default `error`. */
  readonly outOfRange?: 'earliest' | 'latest' | 'error';
  /** How often servers show that they live while there is no news. Default 2,000 ms, 100 to 30,000. */
  readonly heartbeatMs?: number;
  /** How long a partition may have no leader that answers. Default 120,000 ms. */
  readonly unavailableTimeoutMs?: number;
  /** One look-up of offsets, with retries. Default 30,000 ms. */
  readonly requestTimeoutMs?: number;
  /** How often new partitions of the topics are looked for. Default 30,000 ms. */
  readonly discoverMs?: number;
  /** Compares the checksum of each batch. Default true. */
  readonly verify?: boolean;
  /** Ends the iteration with CANCELLED. */
  readonly signal?: AbortSignal;
  /** Not built: UNIMPLEMENTED. */
  readonly group?: string;
}

export interface ConsumerDeps {
  readonly metadata: Metadata;
  readonly clientId: string;
  readonly codecs: Codecs;
  readonly checksum: Checksum;
  readonly ports: ClientPorts;
  /** Runs when the consumer has been closed. */
  readonly onClosed?: () => void;
}

/** After this time a server ends a subscription; it is opened again where it ended. */
const maxAgeMs = 30 * 60_000;

/** UNIMPLEMENTED for groups, INVALID_REQUEST for what makes no sense, INVALID_CONFIG for what is out of range. */
export function checkConsumerOptions(
  options: ConsumerOptions<never, never>,
  deps: Pick<ConsumerDeps, 'clientId' | 'codecs'>,
): { readonly maxBytesInFlight: number; readonly fetcher: FetcherOptions } {
  if (options.group !== undefined) {
    throw new DomainError('UNIMPLEMENTED', 'consumer groups are not built yet: name topics or an assignment');
  }
  const targets = [options.topic, options.topics, options.assignment].filter((target) => target !== undefined);
  if (targets.length !== 1 || options.topics?.length === 0 || options.assignment?.length === 0) {
    throw new DomainError('INVALID_REQUEST', 'a consumer needs exactly one of topic, topics and assignment, not empty');
  }
  checkUntil(options.until);
  const timerMsMax = 2 ** 31 - 1;
  return {
    maxBytesInFlight: inRange('maxBytesInFlight', options.maxBytesInFlight ?? 16 * 1024 * 1024, 1, 2 ** 40),
    fetcher: {
      clientId: deps.clientId,
      maxBytes: inRange('maxBytes', options.maxBytes ?? 1024 * 1024, 1, 3 * 1024 * 1024),
      heartbeatMs: inRange('heartbeatMs', options.heartbeatMs ?? 2000, 100, 30_000),
      maxAgeMs,
      acceptedCodecs: [...deps.codecs.keys()],
      outOfRange: options.outOfRange ?? 'error',
      unavailableTimeoutMs: inRange('unavailableTimeoutMs', options.unavailableTimeoutMs ?? 120_000, 1, timerMsMax),
      requestTimeoutMs: inRange('requestTimeoutMs', options.requestTimeoutMs ?? 30_000, 1, timerMsMax),
    },
  };
}
