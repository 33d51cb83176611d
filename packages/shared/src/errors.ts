/**
 * The one catalogue of errors. Each code says how a status carries it (gRPC code), whether to try again, and what to do
 * next. `proto/common/errors.proto` has the same names and numbers (a test compares the two); `docs/errors.md` is
 * generated from here. Below `rpc/`, code throws or returns `DomainError` and knows no transport.
 */

/** Names of gRPC status codes (https://grpc.io/docs/guides/status-codes), as Connect spells them. */
export type StatusName =
  | 'canceled'
  | 'unknown'
  | 'invalid_argument'
  | 'deadline_exceeded'
  | 'not_found'
  | 'already_exists'
  | 'permission_denied'
  | 'resource_exhausted'
  | 'failed_precondition'
  | 'aborted'
  | 'out_of_range'
  | 'unimplemented'
  | 'internal'
  | 'unavailable'
  | 'data_loss'
  | 'unauthenticated';

interface ErrorEntry {
  /** Number on the wire, in `rustmq.common.ErrorCode`. */
  readonly number: number;
  readonly status: StatusName;
  readonly retriable: boolean;
  /** What the caller can do, as the end of the sentence "to go on, ...". */
  readonly advice: string;
}

const entry = (number: number, status: StatusName, retriable: boolean, advice: string): ErrorEntry => ({
  number,
  status,
  retriable,
  advice,
});

export const errorCatalogue = {
  UNKNOWN_ERROR: entry(1, 'internal', false, 'report it with the error id; the server log has the detail'),
  INVALID_REQUEST: entry(2, 'invalid_argument', false, 'correct the request as the message says'),
  NOT_LEADER: entry(3, 'unavailable', true, 'send it to the leader named in leader_hint, or refresh the metadata'),
  NOT_AVAILABLE: entry(
    4,
    'unavailable',
    true,
    'try again after retry_after; a leader is being chosen or a node restarts',
  ),
  TIMEOUT: entry(5, 'deadline_exceeded', true, 'the outcome is unknown: repeat with the same producer id and sequence'),
  DUPLICATE_REQUEST: entry(6, 'already_exists', false, 'use a new idempotency key for new content'),
  STALE_EPOCH: entry(7, 'failed_precondition', true, 'refresh the metadata; a newer epoch exists'),
  UNAUTHORIZED: entry(8, 'permission_denied', false, 'ask for the missing permission'),
  TOPIC_NOT_FOUND: entry(9, 'not_found', false, 'create the topic, or check its name'),
  PARTITION_NOT_FOUND: entry(10, 'not_found', false, 'ask for a partition that the topic has'),
  OFFSET_OUT_OF_RANGE: entry(11, 'out_of_range', false, 'start again from the earliest or latest offset'),
  TOPIC_ALREADY_EXISTS: entry(12, 'already_exists', false, 'use the existing topic, or another name'),
  CORRUPT_BATCH: entry(
    13,
    'invalid_argument',
    false,
    'build the batch again: its checksum or layout does not match its bytes',
  ),
  RECORD_TOO_LARGE: entry(
    14,
    'invalid_argument',
    false,
    'send smaller batches, or raise max.message.bytes of the topic',
  ),
  UNSUPPORTED_CODEC: entry(15, 'invalid_argument', false, 'use none, lz4, zstd or snappy'),
  UNSUPPORTED_VERSION: entry(16, 'failed_precondition', false, 'speak one of the versions named in the message'),
  INVALID_ACKS: entry(
    17,
    'invalid_argument',
    false,
    'use ACK_NONE to ACK_ALL, or ACK_CUSTOM with 1 to the replication factor',
  ),
  NOT_ENOUGH_REPLICAS: entry(18, 'unavailable', true, 'nothing was written: try again when more replicas are in sync'),
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: entry(
    19,
    'unavailable',
    true,
    'the record may survive: repeat with the same producer id and sequence',
  ),
  OUT_OF_ORDER_SEQUENCE: entry(
    20,
    'failed_precondition',
    false,
    'a batch before this one is missing: get a new producer id',
  ),
  PRODUCER_FENCED: entry(21, 'failed_precondition', false, 'a newer producer with this id exists: stop this one'),
  UNKNOWN_PRODUCER: entry(
    22,
    'failed_precondition',
    false,
    'get a new producer id: the broker no longer knows this one',
  ),
  DISK_FULL: entry(23, 'resource_exhausted', true, 'free space on the broker; nothing of this request was written'),
  STORAGE_FAILED: entry(
    24,
    'unavailable',
    true,
    'the log of this replica is closed after an I/O error: another replica takes over',
  ),
  CORRUPT_LOG: entry(25, 'data_loss', true, 'stored bytes fail their checksum: read from another replica'),
  LIMIT_EXCEEDED: entry(
    26,
    'resource_exhausted',
    true,
    'a bounded queue or table is full: slow down and try after retry_after',
  ),
  REQUEST_TOO_LARGE: entry(27, 'resource_exhausted', false, 'split the request: it is over the size limit'),
  BROKER_NOT_FOUND: entry(28, 'not_found', false, 'check the broker id against the broker list'),
  STALE_BROKER_EPOCH: entry(29, 'failed_precondition', false, 'register again: a newer life of this broker exists'),
  WRONG_CLUSTER: entry(30, 'failed_precondition', false, 'connect to the right cluster, or use an empty data folder'),
  WRONG_TARGET: entry(31, 'failed_precondition', false, 'the message was meant for another node: check the addresses'),
  UNIMPLEMENTED: entry(32, 'unimplemented', false, 'docs/rpcs.md lists what works'),
  CANCELLED: entry(33, 'canceled', false, 'the caller gave up'),
  INVALID_CONFIG: entry(34, 'invalid_argument', false, 'correct the setting as the message says'),
  INVALID_REPLICATION_FACTOR: entry(35, 'invalid_argument', false, 'ask for 1 to the number of live brokers'),
  SHUTTING_DOWN: entry(36, 'unavailable', true, 'another node takes over: try again'),
  UNAUTHENTICATED: entry(37, 'unauthenticated', false, 'log in first'),
  PROPOSAL_DROPPED: entry(38, 'aborted', true, 'the controllers had no leader to accept it: try again'),
  REASSIGNMENT_NOT_FOUND: entry(
    39,
    'not_found',
    false,
    'look at the running reassignments and those that ended lately',
  ),
  REASSIGNMENT_IN_PROGRESS: entry(
    40,
    'failed_precondition',
    false,
    'wait until the replicas have moved, or cancel that reassignment',
  ),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorName = keyof typeof errorCatalogue;

export interface DomainErrorOptions {
  /** Overrides the catalogue, where a single case differs from its kind. */
  readonly retriable?: boolean;
  /** For NOT_LEADER: `id@host:port` of the leader, as far as it is known. */
  readonly leaderHint?: string;
  readonly retryAfterMs?: number;
  /** Whether the call may have acted although it failed. Default: true for TIMEOUT, else false. Never travels. */
  readonly outcomeUnknown?: boolean;
  readonly cause?: unknown;
}

/** The one error class below `rpc/`. Its message says what was wrong, with the value; the catalogue adds what to do next. */
export class DomainError extends Error {
  readonly code: ErrorName;
  readonly retriable: boolean;
  readonly leaderHint: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly outcomeUnknown: boolean;

  constructor(code: ErrorName, message: string, options: DomainErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'DomainError';
    this.code = code;
    this.retriable = options.retriable ?? errorCatalogue[code].retriable;
    this.leaderHint = options.leaderHint;
    this.retryAfterMs = options.retryAfterMs;
    this.outcomeUnknown = options.outcomeUnknown ?? code === 'TIMEOUT';
  }
}

export function isDomainError(error: unknown): error is DomainError {
  return error instanceof DomainError;
}

/** Number of a code on the wire. */
export function errorNumber(code: ErrorName): number {
  return errorCatalogue[code].number;
}

const namesByNumber = new Map<number, ErrorName>(
  Object.entries(errorCatalogue).map(([name, { number }]) => [number, name as ErrorName]),
);

/** The name of a wire number. What this version does not know is UNKNOWN_ERROR, so that a newer server stays usable. */
export function errorName(number: number): ErrorName {
  return namesByNumber.get(number) ?? 'UNKNOWN_ERROR';
}

/** Longest error text that is put on the wire, in characters: it travels three times inside one header list of 16 KiB. */
const errorTextMax = 1_000;

/** An error text as it may leave the process: at most 1,000 characters, without lone surrogates. */
export function boundText(text: string): string {
  return (text.length > errorTextMax ? `${text.slice(0, errorTextMax - 3)}...` : text).toWellFormed();
}
