/**
 * Calls that name many partitions, as bytes: a request is cut into its entries and what is common to them, put together
 * again for each leader, and the answers are merged in the order of the request. Nothing is copied: the pieces are views of
 * the request and of the answers.
 *
 * Invariant: the parts of a request, joined, are the same message again as far as its fields are known here (fields that
 * the caller asked to drop excepted); each entry has exactly one result.
 */
import { DomainError, type ErrorName, errorName, errorNumber, WireWriter } from '@fleetmq/shared';
import {
  bytesTag,
  decodeText,
  encodeDurationMs,
  encodeTarget,
  fieldHeader,
  readTarget,
  type Target,
  varintTag,
  visitFields,
  visitVersion,
  writeText,
} from './fields.ts';

/** Where the fields of such a call are. The target is field 1 of entries and results, a result's error code is field 2. */
export interface CallLayout {
  /** The repeated entries in the request. */
  readonly entries: number;
  /** The repeated results in the answer. */
  readonly results: number;
  /** `error_message` in a result. */
  readonly message: number;
  /** `retriable` in a result; 0: there is none. */
  readonly retriable: number;
  /** `retry_after` in a result; 0: there is none. */
  readonly retryAfter: number;
}

export const produceBatchLayout: CallLayout = { entries: 3, results: 3, message: 3, retriable: 9, retryAfter: 10 };
export const fetchLayout: CallLayout = { entries: 7, results: 3, message: 7, retriable: 0, retryAfter: 0 };
/** ListOffsets and DeleteRecords. */
export const offsetsLayout: CallLayout = { entries: 3, results: 3, message: 3, retriable: 0, retryAfter: 0 };

/** An entry of a request. */
export interface Entry extends Target {
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
  /** Sees every field but the entries; true: it has read the value, and the field is left out of `common`. */
  readonly take?: (tag: number, reader: Parameters<typeof visitVersion>[1]) => boolean;
}

/** INVALID_REQUEST for what is no such message, UNSUPPORTED_VERSION. */
export function splitRequest(request: Uint8Array, layout: CallLayout, options: SplitOptions): SplitRequest {
  const { entriesMax, take } = options;
  const common: Uint8Array[] = [];
  const entries: Entry[] = [];
  const entryTag = bytesTag(layout.entries);
  let from = 0;
  const cut = (start: number, end: number): void => {
    if (start > from) common.push(request.subarray(from, start));
    from = end;
  };
  visitFields(request, (tag, reader, start) => {
    if (tag === entryTag) {
      if (entries.length === entriesMax) throw tooMany(entries.length + 1, entriesMax);
      const content = reader.view();
      entries.push({ ...targetOf(content), content, field: request.subarray(start, reader.position) });
      cut(start, reader.position);
      return true;
    }
    if (take?.(tag, reader) === true) {
      cut(start, reader.position);
      return true;
    }
    return visitVersion(tag, reader);
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
export function targetOf(message: Uint8Array): Target {
  let target: Target = { topic: '', partition: 0 };
  visitFields(message, (tag, reader) => {
    if (tag !== bytesTag(1)) return false;
    target = readTarget(reader.view());
    return true;
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
  let code = 0;
  let message = '';
  visitFields(answer, (tag, reader) => {
    if (tag === bytesTag(layout.results)) results.push(readResult(reader.view(), layout));
    else if (tag === varintTag(1)) code = reader.varint();
    else if (tag === bytesTag(2)) message = decodeText(reader.view(), 'error_message');
    else return false;
    return true;
  });
  return { error: code === 0 ? undefined : new DomainError(errorName(code), message), results };
}

function readResult(content: Uint8Array, layout: CallLayout): Result {
  let code = 0;
  let message = '';
  visitFields(content, (tag, reader) => {
    if (tag === varintTag(2)) code = reader.varint();
    else if (tag === bytesTag(layout.message)) message = decodeText(reader.view(), 'error_message');
    else return false;
    return true;
  });
  return { content, code: code === 0 ? 'OK' : errorName(code), message };
}

/** Longest error text in a body, in characters. */
const errorTextMax = 1_000;

/** The result of an entry that failed here, under the numbers of its message. */
export function errorResult(entry: Target, error: DomainError, layout: CallLayout): Uint8Array {
  const writer = new WireWriter(128).bytesField(1, encodeTarget(entry));
  writer.varintField(2, errorNumber(error.code));
  writeText(writer, layout.message, error.message.slice(0, errorTextMax));
  if (layout.retriable !== 0 && error.retriable) writer.varintField(layout.retriable, 1);
  if (layout.retryAfter !== 0 && error.retryAfterMs !== undefined) {
    writer.bytesField(layout.retryAfter, encodeDurationMs(error.retryAfterMs));
  }
  return writer.finish();
}

/** An answer of these results, in this order. */
export function joinAnswer(results: readonly Uint8Array[], layout: CallLayout): readonly Uint8Array[] {
  return results.flatMap((content) => [fieldHeader(layout.results, content.length), content]);
}
