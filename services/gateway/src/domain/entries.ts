/**
 * Calls that name many partitions, as bytes: a request is cut into its entries and what is common to them, put together
 * again for each leader, and the answers are merged in the order of the request. Nothing is copied: the pieces are views of
 * the request and of the answers.
 *
 * Invariant: the parts of a request, joined, are the same message again as far as its fields are known here (fields that
 * the caller asked to drop excepted); each entry has exactly one result.
 */
import { readVersion } from '@fleetmq/metadata';
import {
  DomainError,
  type ErrorFields,
  type ErrorName,
  encodeTopicPartition,
  type FieldVisitor,
  noTopicPartition,
  readBytes,
  readErrorCode,
  readErrorMessage,
  readTopicPartition,
  type TopicPartitionName,
  visitFields,
  WireReader,
  WireWriter,
  writeError,
} from '@fleetmq/shared';

/** Where the fields of such a call are. The target is field 1 of entries and results. */
export interface CallLayout {
  /** The repeated entries in the request. */
  readonly entries: number;
  /** The repeated results in the answer. */
  readonly results: number;
  /** The error fields in a result. */
  readonly error: ErrorFields;
}

export const produceBatchLayout: CallLayout = {
  entries: 3,
  results: 3,
  error: { code: 2, message: 3, retriable: 9, retryAfter: 10 },
};
export const fetchLayout: CallLayout = { entries: 7, results: 3, error: { code: 2, message: 7 } };
/** ListOffsets and DeleteRecords. */
export const offsetsLayout: CallLayout = { entries: 3, results: 3, error: { code: 2, message: 3 } };

/** An entry of a request. */
export interface Entry extends TopicPartitionName {
  /** The entry's message. */
  readonly content: Uint8Array;
  /** With its tag and length, as it lies in the request. */
  readonly field: Uint8Array;
}

export interface SplitRequest {
  /** Everything that is no entry. */
  readonly common: readonly Uint8Array[];
  readonly entries: readonly Entry[];
}

/** What `splitRequest` is to do besides. */
export interface SplitOptions {
  /** More are INVALID_REQUEST, and so is none. */
  readonly entriesMax: number;
  /** Sees every field but version and entries; one whose value it reads is left out of `common`. */
  readonly take?: FieldVisitor;
}

/** INVALID_REQUEST for what is no such message, UNSUPPORTED_VERSION. */
export function splitRequest(request: Uint8Array, layout: CallLayout, options: SplitOptions): SplitRequest {
  const { entriesMax, take } = options;
  const common: Uint8Array[] = [];
  const entries: Entry[] = [];
  let from = 0;
  const cut = (start: number, end: number): void => {
    if (start > from) common.push(request.subarray(from, start));
    from = end;
  };
  visitFields(new WireReader(request), (field, reader, start) => {
    if (field === 1) readVersion(reader);
    else if (field === layout.entries) {
      if (entries.length === entriesMax) throw tooMany(entries.length + 1, entriesMax);
      const content = readBytes(reader, 'partitions');
      entries.push({ ...targetOf(content), content, field: request.subarray(start, reader.position) });
      cut(start, reader.position);
    } else if (take !== undefined) {
      const value = reader.position;
      take(field, reader, start);
      if (reader.position > value) cut(start, reader.position);
    }
  });
  cut(request.length, request.length);
  if (entries.length === 0) throw tooMany(0, entriesMax);
  return { common, entries };
}

function tooMany(count: number, max: number): DomainError {
  const text = count === 0 ? 'the request names no partition' : `the request names more than ${max} partitions`;
  return new DomainError('INVALID_REQUEST', `${text}; 1 to ${max} are allowed`);
}

/** The target of an entry or a result; an empty topic when it names none. */
export function targetOf(message: Uint8Array): TopicPartitionName {
  let target = noTopicPartition;
  visitFields(new WireReader(message), (field, reader) => {
    if (field === 1) target = readTopicPartition(reader);
  });
  return target;
}

/** A request for some of the entries; `extra` holds fields that were taken out and are set anew. */
export function joinRequest(
  common: readonly Uint8Array[],
  entries: readonly Entry[],
  extra?: Uint8Array,
): readonly Uint8Array[] {
  const fields = entries.map((entry) => entry.field);
  return extra === undefined ? [...common, ...fields] : [...common, extra, ...fields];
}

/** One result of an answer. */
export interface Result {
  /** The result's message. */
  readonly content: Uint8Array;
  readonly code: ErrorName | 'OK';
  readonly message: string;
}

export interface SplitAnswer {
  /** The error of the whole call, if there is one in its body. */
  readonly error: DomainError | undefined;
  readonly results: readonly Result[];
}

/** INVALID_REQUEST for what is no such message. */
export function splitAnswer(answer: Uint8Array, layout: CallLayout): SplitAnswer {
  const results: Result[] = [];
  let code: ErrorName | undefined;
  let message = '';
  visitFields(new WireReader(answer), (field, reader) => {
    if (field === layout.results) results.push(readResult(readBytes(reader, 'partitions'), layout));
    else if (field === 1) code = readErrorCode(reader);
    else if (field === 2) message = readErrorMessage(reader);
  });
  return { error: code === undefined ? undefined : new DomainError(code, message), results };
}

function readResult(content: Uint8Array, { error }: CallLayout): Result {
  let code: ErrorName | undefined;
  let message = '';
  visitFields(new WireReader(content), (field, reader) => {
    if (field === error.code) code = readErrorCode(reader);
    else if (field === error.message) message = readErrorMessage(reader);
  });
  return { content, code: code ?? 'OK', message };
}

/** The result of an entry that failed here, under the numbers of its message. */
export function errorResult(entry: TopicPartitionName, error: DomainError, layout: CallLayout): Uint8Array {
  const writer = new WireWriter(128).bytesField(1, encodeTopicPartition(entry));
  return writeError(writer, error, layout.error).finish();
}

/** The tag and the length that stand before `length` bytes of content in a message. */
export function fieldHeader(field: number, length: number): Uint8Array {
  return new WireWriter(12).bytesHeader(field, length).finish();
}

/** An answer of these results, in this order. */
export function joinAnswer(results: readonly Uint8Array[], layout: CallLayout): readonly Uint8Array[] {
  return results.flatMap((content) => [fieldHeader(layout.results, content.length), content]);
}
