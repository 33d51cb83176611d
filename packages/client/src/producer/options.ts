/** The options of a producer, with their defaults and bounds; checked once, when the producer is made. */
import { type BuildOptions, type Codecs, codecId, requireCodec } from '@fleetmq/record';
import { DomainError, type Random } from '@fleetmq/shared';
import type { Serde } from '../serde.ts';
import type { Partitioner } from './partitioner.ts';
import { type Acks, checkAcks } from './wire.ts';

export type CompressionName = keyof typeof codecId;

/** One settled batch, for producers that hold no promise per record. */
export interface DeliveryReport {
  readonly topic: string;
  readonly partition: number;
  readonly recordCount: number;
  /** Offset of the first record; the others follow without gaps. Undefined when the batch failed. */
  readonly baseOffset: number | undefined;
  /** Append time, milliseconds since 1970-01-01 UTC; undefined when the batch failed. */
  readonly timestampMs: number | undefined;
  /** The `context` of each record, undefined where none was given. */
  readonly contexts: readonly unknown[];
  readonly error: DomainError | undefined;
}

export interface ProducerOptions<Key, Value> {
  /** Default: strings as UTF-8, bytes as they are. */
  readonly key?: Serde<Key>;
  /** Default: strings as UTF-8, bytes as they are. */
  readonly value?: Serde<Value>;
  /** When a write counts as done. Default `all`. */
  readonly acks?: Acks;
  /** Default `none`. In Node batches from 32 KiB on are compressed on another thread; in browsers all on the page's own. */
  readonly compression?: CompressionName;
  /** How long a record may wait for others to share its batch, in milliseconds. Default 5, 0 to 60,000. */
  readonly lingerMs?: number;
  /** Record bytes of a batch before compression. Default 768 KiB, which only a backlog fills; 1 KiB to 1 MiB; the topic's max.message.bytes bounds it too. */
  readonly batchBytes?: number;
  /** Records of a batch. Default 100,000, which is also the bound. */
  readonly batchRecords?: number;
  /** Batches of one partition that may be under way. Default 5, 1 to 5. */
  readonly maxInFlight?: number;
  /** Open requests per server. Default 16. */
  readonly requestsMax?: number;
  /** Bytes of batches in one request. Default 1 MiB; one larger batch still goes alone. */
  readonly requestBytes?: number;
  /** Memory of records that are not settled: estimated bytes. Default 64 MiB. */
  readonly bufferBytes?: number;
  /** The same in records. Default 1,000,000. */
  readonly bufferRecords?: number;
  /** From `send` to the receipt or the failure, retries included. Default 120,000 ms. */
  readonly deliveryTimeoutMs?: number;
  /** One attempt. Default 30,000 ms. */
  readonly requestTimeoutMs?: number;
  /** No doubles and no disorder by retries. Default true. */
  readonly idempotent?: boolean;
  readonly partitioner?: Partitioner;
  /** Hears of every settled batch, before `flush` resolves. What it throws is an uncaught error of the process. */
  readonly onDelivery?: (report: DeliveryReport) => void;
  /** For the sticky choice of partitions. Default: seeded by the system. */
  readonly random?: Random;
}

export interface CheckedOptions {
  readonly acks: Acks;
  readonly build: BuildOptions;
  readonly lingerMs: number;
  readonly batchBytes: number;
  readonly batchRecords: number;
  readonly maxInFlight: number;
  readonly requestsMax: number;
  readonly requestBytes: number;
  readonly bufferBytes: number;
  readonly bufferRecords: number;
  readonly deliveryTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly idempotent: boolean;
}

const kib = 1024;
const mib = 1024 * kib;
const timerMsMax = 2 ** 31 - 1;

/** INVALID_CONFIG, with the value, for what is out of range; UNSUPPORTED_CODEC for a codec that cannot compress here. */
export function checkProducerOptions(options: ProducerOptions<never, never>, codecs: Codecs): CheckedOptions {
  const acks = options.acks ?? 'all';
  checkAcks(acks);
  return {
    acks,
    build: buildOptions(options.compression ?? 'none', codecs),
    lingerMs: inRange('lingerMs', options.lingerMs ?? 5, 0, 60_000),
    batchBytes: inRange('batchBytes', options.batchBytes ?? 768 * kib, kib, mib),
    batchRecords: inRange('batchRecords', options.batchRecords ?? 100_000, 1, 100_000),
    maxInFlight: inRange('maxInFlight', options.maxInFlight ?? 5, 1, 5),
    requestsMax: inRange('requestsMax', options.requestsMax ?? 16, 1, 1000),
    requestBytes: inRange('requestBytes', options.requestBytes ?? mib, kib, 3 * mib),
    bufferBytes: inRange('bufferBytes', options.bufferBytes ?? 64 * mib, 64 * kib, 2 ** 40),
    bufferRecords: inRange('bufferRecords', options.bufferRecords ?? 1_000_000, 1, 1e9),
    deliveryTimeoutMs: inRange('deliveryTimeoutMs', options.deliveryTimeoutMs ?? 120_000, 1, timerMsMax),
    requestTimeoutMs: inRange('requestTimeoutMs', options.requestTimeoutMs ?? 30_000, 1, 600_000),
    idempotent: options.idempotent ?? true,
  };
}

export function inRange(name: string, value: number, min: number, max: number): number {
  if (Number.isFinite(value) && value >= min && value <= max) return value;
  throw new DomainError('INVALID_CONFIG', `${name} is ${value}, expected ${min} to ${max}`);
}

function buildOptions(compression: CompressionName, codecs: Codecs): BuildOptions {
  if (!Object.hasOwn(codecId, compression)) {
    throw new DomainError('UNSUPPORTED_CODEC', `compression is ${compression}, expected none, lz4, zstd or snappy`);
  }
  if (compression === 'none') return {};
  const codec = requireCodec(codecs, codecId[compression]);
  codec.compress(new Uint8Array(1)); // Some can only inflate: better to hear of it now.
  return { codec };
}
