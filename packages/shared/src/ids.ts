/**
 * Branded identifiers. Inside FleetMQ an offset, a term or an epoch is a safe integer of its own type, so that no two of
 * them can be confused; 64-bit values of the wire become one of these in exactly one place, `toOffset` and its siblings.
 */
import { DomainError } from './errors.ts';

declare const brand: unique symbol;
type Branded<Base, Name extends string> = Base & { readonly [brand]: Name };

/** Position of a record in its partition: 0, 1, 2 ... A safe integer. */
export type Offset = Branded<number, 'Offset'>;
/** Raft term of the controllers. */
export type Term = Branded<number, 'Term'>;
/** Index of an entry in the controllers' Raft log; the first entry has index 1. */
export type LogIndex = Branded<number, 'LogIndex'>;
/** Rises by one with each leader of a partition. */
export type LeaderEpoch = Branded<number, 'LeaderEpoch'>;
/** Rises with each registration of a broker: tells one life of a broker from the next. */
export type BrokerEpoch = Branded<number, 'BrokerEpoch'>;
/** Rises with each change of a partition's leader, replicas or in-sync replicas. */
export type PartitionEpoch = Branded<number, 'PartitionEpoch'>;
/** Number of a broker: 1 to 2^31-1. 0 means "no broker". */
export type BrokerId = Branded<number, 'BrokerId'>;
/** Number of a controller: 1 to 2^31-1. 0 means "no controller". */
export type ControllerId = Branded<number, 'ControllerId'>;
/** Number of a partition in its topic, from 0. */
export type PartitionId = Branded<number, 'PartitionId'>;
/** Random id of a topic (32 hexadecimal digits). A topic created anew under an old name gets another one. */
export type TopicId = Branded<string, 'TopicId'>;
/** Version of the metadata image: the Raft index of the last command that it contains. */
export type MetadataVersion = Branded<number, 'MetadataVersion'>;
/** Opaque: no arithmetic is meaningful. 0 means "none". */
export type ProducerId = Branded<bigint, 'ProducerId'>;

/** Refuses with OFFSET_OUT_OF_RANGE what a safe integer cannot hold. */
export function toOffset(value: bigint | number): Offset {
  const offset = Number(value);
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw new DomainError('OFFSET_OUT_OF_RANGE', `offset ${value} is outside 0..2^53-1`);
  }
  return offset as Offset;
}

/** A whole number of 0 to 2^53-1 under the brand that the caller names. `what` says what it is, for the error text. */
export function toSafeInteger<Id extends number>(value: bigint | number, what: string): Id {
  const integer = Number(value);
  if (!Number.isSafeInteger(integer) || integer < 0) {
    throw new DomainError('INVALID_REQUEST', `${what} ${value} is outside 0..2^53-1`);
  }
  return integer as Id;
}

/** A topic and the number of one of its partitions. */
export interface TopicPartition {
  readonly topic: string;
  readonly partition: PartitionId;
}

/** `orders-3`, for log lines, errors and map keys; unambiguous, since the part after the last dash is the number. */
export function formatTopicPartition(topic: string, partition: number): string {
  return `${topic}-${partition}`;
}

const TOPIC_NAME = /^[A-Za-z0-9._-]{1,249}$/;

/** The grammar of topic names: 1 to 249 of letters, digits, dot, underscore and dash, and neither `.` nor `..`. */
export function isTopicName(name: string): boolean {
  return TOPIC_NAME.test(name) && name !== '.' && name !== '..';
}
