/**
 * FetchBatch: topics in, batches of all their partitions out. Where the reader is in each partition travels in the cursor,
 * so the gateway keeps nothing between two calls. A partition that the cursor does not know begins where the request says.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type FetchBatchRequest,
  FetchBatchRequestSchema,
  FetchRequestSchema,
  type StartPosition,
} from '@fleetmq/gen/client/consumer';
import { assertMajor, type CursorEntry, decodeCursor, encodeCursor, type TopicImage } from '@fleetmq/metadata';
import { durationFromProto } from '@fleetmq/metadata/wire';
import { type Checksum, DomainError, type TopicPartitionName } from '@fleetmq/shared';
import type { RawMessage } from '@fleetmq/shared/runtime';
import { errorResult, fetchLayout, fieldHeader, joinAnswer } from '../domain/entries.ts';
import { type FetchBounds, readFetch, summarize } from '../domain/fetch.ts';
import { type FetchContext, fetchPartitions } from './fetch-calls.ts';
import { findOffsets } from './offset-calls.ts';
import type { Upstreams } from './upstreams.ts';

/** Names of topics in one call. */
const topicsMax = 100;
const cursorField = 4;

/** Where a reader is; `nextOffset` undefined: not known yet. */
interface Place extends TopicPartitionName {
  readonly topic: string;
  readonly topicId: TopicImage['topicId'];
  readonly partition: number;
  nextOffset: number | undefined;
}

/** A FetchBatchRequest. */
export async function fetchBatch(
  upstreams: Upstreams,
  bytes: Uint8Array,
  context: FetchContext,
  bounds: FetchBounds,
  checksum: Checksum,
): Promise<RawMessage> {
  const request = decodeRequest(bytes);
  const { places, missing } = placesOf(upstreams, request, bounds, checksum);
  const refused = await findStarts(upstreams, places, request.start, context);
  const ready = places.filter((place) => place.nextOffset !== undefined);
  const fetched = ready.length === 0 ? [] : await fetchFrom(upstreams, request, ready, context, bounds);
  const news = fetched.filter((result, index) => isNews(result, ready[index] as Place));
  const cursor = encodeCursor(cursorEntries(places), checksum);
  return [
    ...joinAnswer([...missing, ...refused, ...news], fetchLayout),
    fieldHeader(cursorField, cursor.length),
    cursor,
  ];
}

function decodeRequest(bytes: Uint8Array): FetchBatchRequest {
  let request: FetchBatchRequest;
  try {
    request = fromBinary(FetchBatchRequestSchema, bytes);
  } catch (error) {
    throw new DomainError('INVALID_REQUEST', 'this is no FetchBatchRequest', { cause: error });
  }
  assertMajor(request.version?.major ?? 0);
  const { length } = request.topics;
  if (length >= 1 && length <= topicsMax) return request;
  throw new DomainError('INVALID_REQUEST', `${length} topics are named; 1 to ${topicsMax} are allowed`);
}

/** Every partition of the topics, with the cursor's offsets; and a result for each topic that does not exist. */
function placesOf(upstreams: Upstreams, request: FetchBatchRequest, bounds: FetchBounds, checksum: Checksum) {
  const known = new Map<string, number>();
  for (const entry of request.cursor.length === 0 ? [] : decodeCursor(request.cursor, checksum)) {
    known.set(`${entry.topicId}:${entry.partition}`, entry.nextOffset);
  }
  const places: Place[] = [];
  const missing: Uint8Array[] = [];
  for (const name of new Set(request.topics)) {
    const location = upstreams.locate({ topic: name, partition: 0 });
    const topic = upstreams.image.topicByName(name);
    if (topic === undefined || location.kind === 'missing') {
      const error = location.kind === 'missing' ? location.error : new DomainError('TOPIC_NOT_FOUND', name);
      missing.push(errorResult({ topic: name, partition: 0 }, error, fetchLayout));
      continue;
    }
    for (let partition = 0; partition < topic.partitionCount; partition++) {
      const nextOffset = known.get(`${topic.topicId}:${partition}`);
      places.push({ topic: name, topicId: topic.topicId, partition, nextOffset });
    }
  }
  if (places.length > bounds.partitionsMax) {
    const text = `the topics have ${places.length} partitions, ${bounds.partitionsMax} can be fetched in one call`;
    throw new DomainError('INVALID_REQUEST', `${text}: name fewer topics`);
  }
  return { places, missing };
}

/** Finds the offsets of places that the cursor does not know. Returns results for those where that failed. */
async function findStarts(
  upstreams: Upstreams,
  places: readonly Place[],
  start: StartPosition | undefined,
  context: FetchContext,
): Promise<Uint8Array[]> {
  const unknown = places.filter((place) => place.nextOffset === undefined);
  const found = await findOffsets(
    upstreams,
    unknown.map((place) => ({ ...place, start })),
    context,
  );
  const refused: Uint8Array[] = [];
  for (const [index, place] of unknown.entries()) {
    const offset = found[index] as number | DomainError;
    if (typeof offset === 'number') place.nextOffset = offset;
    else refused.push(errorResult(place, offset, fetchLayout));
  }
  return refused;
}

/** Fetches every place and moves it behind what came. */
async function fetchFrom(
  upstreams: Upstreams,
  request: FetchBatchRequest,
  places: readonly Place[],
  context: FetchContext,
  bounds: FetchBounds,
): Promise<Uint8Array[]> {
  durationFromProto(request.maxWait, 'max_wait');
  const message = create(FetchRequestSchema, {
    clientId: request.clientId,
    minBytes: request.minBytes,
    maxBytes: request.maxBytes,
    isolationLevel: request.isolationLevel,
    acceptedCodecs: request.acceptedCodecs,
    ...(request.maxWait === undefined ? {} : { maxWait: request.maxWait }),
    partitions: places.map(({ topic, partition, nextOffset }) => ({
      topicPartition: { topic, partition },
      fetchOffset: BigInt(nextOffset ?? 0),
    })),
  });
  const ask = readFetch(toBinary(FetchRequestSchema, message), bounds);
  return fetchPartitions(upstreams, ask, context);
}

/** Whether a result has data or an error; with data its place moves. */
function isNews(result: Uint8Array, place: Place): boolean {
  const { code, dataBytes, nextOffset } = summarize(result);
  if (code !== 'OK') return true;
  if (dataBytes === 0) return false;
  place.nextOffset = Math.max(place.nextOffset ?? 0, nextOffset);
  return true;
}

function* cursorEntries(places: readonly Place[]): Generator<CursorEntry> {
  for (const { topicId, partition, nextOffset } of places) {
    if (nextOffset !== undefined) yield { topicId, partition, nextOffset };
  }
}
