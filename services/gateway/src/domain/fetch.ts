/**
 * Fetches over many leaders, as bytes: the bounds of a request, each leader's share of them, and one answer out of several
 * within the asked size. Batches are never looked at; whole partitions are left out of an answer when it gets too large.
 *
 * Invariants: the answer has one result per entry, in order; a result that was emptied says so by its next offset, which is
 * the asked one; the first partition with data, in the order of the turn, is never emptied, however large it is.
 */
import {
  DomainError,
  type ErrorName,
  encodeMs,
  readBytes,
  readDurationMs,
  readErrorCode,
  readErrorMessage,
  readUint32,
  readUint53,
  visitFields,
  WireReader,
  WireWriter,
} from '@fleetmq/shared';
import { type Entry, fetchLayout, type SplitRequest, splitRequest } from './entries.ts';

export interface FetchBounds {
  /** Bytes of an answer when the request names none. */
  readonly bytesDefault: number;
  /** Bytes of an answer at most. */
  readonly bytesMax: number;
  /** Longest wait for min_bytes. */
  readonly waitMaxMs: number;
  /** Partitions of one call. */
  readonly partitionsMax: number;
}

export const fetchBounds: FetchBounds = {
  bytesDefault: 1024 * 1024,
  bytesMax: 3 * 1024 * 1024,
  waitMaxMs: 30_000,
  partitionsMax: 1_000,
};

/** How much and how long. */
export interface FetchWish {
  readonly maxWaitMs: number;
  readonly minBytes: number;
  readonly maxBytes: number;
}

export interface FetchAsk extends SplitRequest, FetchWish {}

/** INVALID_REQUEST, UNSUPPORTED_VERSION, and UNAUTHORIZED for a reader that poses as a replica. */
export function readFetch(request: Uint8Array, bounds: FetchBounds): FetchAsk {
  let replicaId = 0;
  const wish = { maxWaitMs: 0, minBytes: 0, maxBytes: 0 };
  const split = splitRequest(request, fetchLayout, {
    entriesMax: bounds.partitionsMax,
    take(field, reader) {
      if (field === 3) replicaId = readUint32(reader, 'replica_id');
      else if (field === 4) wish.maxWaitMs = readDurationMs(reader, 'max_wait');
      else if (field === 5) wish.minBytes = readUint32(reader, 'min_bytes');
      else if (field === 6) wish.maxBytes = readUint32(reader, 'max_bytes');
    },
  });
  if (replicaId !== 0) {
    throw new DomainError('UNAUTHORIZED', `replica_id ${replicaId}: only consumers fetch here; leave it 0`);
  }
  return { ...split, ...boundWish(wish, bounds) };
}

function boundWish(wish: FetchWish, bounds: FetchBounds): FetchWish {
  const maxBytes = wish.maxBytes === 0 ? bounds.bytesDefault : Math.min(wish.maxBytes, bounds.bytesMax);
  const minBytes = Math.min(Math.max(1, wish.minBytes), maxBytes);
  return { maxWaitMs: Math.min(wish.maxWaitMs, bounds.waitMaxMs), minBytes, maxBytes };
}

/** Smallest share of an answer that a leader is asked for: less would cost more calls than it saves bytes. */
const shareMin = 64 * 1024;

/** What each of `leaders` leaders is asked for, so that their answers together come to about the wish. */
export function shareOf(wish: FetchWish, leaders: number): FetchWish {
  return {
    maxWaitMs: wish.maxWaitMs,
    minBytes: Math.ceil(wish.minBytes / leaders),
    maxBytes: Math.min(wish.maxBytes, Math.max(shareMin, Math.ceil(wish.maxBytes / leaders))),
  };
}

/** The fields of a wish in a FetchRequest. */
export function encodeWish(wish: FetchWish): Uint8Array {
  const writer = new WireWriter(32);
  if (wish.maxWaitMs > 0) writer.bytesField(4, encodeMs(wish.maxWaitMs));
  return writer.varintField(5, wish.minBytes).varintField(6, wish.maxBytes).finish();
}

/** The asked offset of a FetchPartition. */
export function fetchOffsetOf(entry: Entry): number {
  let offset = 0;
  visitFields(new WireReader(entry.content), (field, reader) => {
    if (field === 2) offset = readUint53(reader, 'fetch_offset');
  });
  return offset;
}

/** What matters of a FetchPartitionResponse. */
export interface FetchSummary {
  readonly code: ErrorName | 'OK';
  readonly message: string;
  /** Bytes of its batches. */
  readonly dataBytes: number;
  /** 0 when it names none. */
  readonly nextOffset: number;
}

export function summarize(content: Uint8Array): FetchSummary {
  let code: ErrorName | undefined;
  let message = '';
  let dataBytes = 0;
  let nextOffset = 0;
  visitFields(new WireReader(content), (field, reader) => {
    if (field === 6) dataBytes += readBytes(reader, 'batches').length;
    else if (field === 2) code = readErrorCode(reader);
    else if (field === 10) nextOffset = readUint53(reader, 'next_offset');
    else if (field === 7) message = readErrorMessage(reader);
  });
  return { code: code ?? 'OK', message, dataBytes, nextOffset };
}

/** A result without its batches; the reader asks again from `offset`. */
export function withoutBatches(content: Uint8Array, offset: number): Uint8Array {
  const writer = new WireWriter(128);
  visitFields(new WireReader(content), (field, reader, start) => {
    reader.skip(reader.wireType);
    const isLeftOut = field === 6 || field === 10 || field === 11;
    if (!isLeftOut) writer.raw(content.subarray(start, reader.position));
  });
  return writer.varintField(10, offset).finish();
}

/** A result and the offset that was asked for. */
export interface Fetched {
  readonly content: Uint8Array;
  readonly dataBytes: number;
  readonly fetchOffset: number;
  /** It has an error code, which the caller is to see at once. */
  readonly isError: boolean;
}

/**
 * The results of one answer of about `maxBytes`. `turn` rotates who comes first when not all fit, so that nobody who is
 * asked for again and again in the same order goes empty for ever.
 */
export function fitResults(results: readonly Fetched[], maxBytes: number, turn: number): Uint8Array[] {
  const fitted = results.map((result) => result.content);
  let taken = 0;
  for (let step = 0; step < results.length; step++) {
    const index = (turn + step) % results.length;
    const { content, dataBytes, fetchOffset } = results[index] as Fetched;
    if (dataBytes === 0) continue;
    if (taken > 0 && taken + dataBytes > maxBytes) fitted[index] = withoutBatches(content, fetchOffset);
    else taken += dataBytes;
  }
  return fitted;
}
