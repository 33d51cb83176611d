/**
 * Subscribe over many leaders: one upstream per leader, merged into one stream that follows the leaders as they move. The
 * gateway sends its own heartbeats and cursors; those of the brokers end here.
 *
 * Pull only: the next answer is made when the caller takes it, and each upstream holds one message meanwhile. Ends with
 * status OK when max_age is over, when the gateway begins to close, or when every partition is over; the reader resumes
 * with the last cursor. See `domain/subscription.ts` for what keeps the order.
 */
import { create, fromBinary } from '@bufbuild/protobuf';
import {
  OffsetBoundary,
  type StartPosition,
  StartPositionSchema,
  type SubscribePartition,
  type SubscribeRequest,
  SubscribeRequestSchema,
} from '@fleetmq/gen/client/consumer';
import { assertMajor, decodeCursor, encodeCursor } from '@fleetmq/metadata';
import { durationFromProto, durationToProto } from '@fleetmq/metadata/wire';
import { backoffMs, type Checksum, DomainError, isDomainError, type Random } from '@fleetmq/shared';
import type { RawContext, RawMessage } from '@fleetmq/shared/runtime';
import { errorResult, fetchLayout, fieldHeader } from '../domain/entries.ts';
import type { Leader } from '../domain/locate.ts';
import { isPassing, type Reader, SubscriptionState } from '../domain/subscription.ts';
import { findOffsets } from './offset-calls.ts';
import { SubscriptionSource } from './subscription-source.ts';
import { forwardedHeaders, type Upstreams } from './upstreams.ts';

export interface SubscribeOptions {
  readonly checksum: Checksum;
  readonly random: Random;
  /** Partitions of one subscription. */
  readonly partitionsMax: number;
}

const heartbeat = { defaultMs: 5_000, minMs: 100, maxMs: 30_000 };
const maxAgeMs = 30 * 60_000;
/** An upstream that says nothing for this many heartbeats is left. */
const silentHeartbeatsMax = 3;
const retryBackoff = { baseMs: 20, maxMs: 300 };
/** A deadline for finding where partitions begin. */
const startsWithinMs = 10_000;
const cursorField = 4;

/** A SubscribeRequest for given partitions. */
export async function* subscribe(
  upstreams: Upstreams,
  bytes: Uint8Array,
  context: RawContext,
  options: SubscribeOptions,
): AsyncGenerator<RawMessage> {
  const request = decodeRequest(bytes, options.partitionsMax);
  const { readers, refused } = await openReaders(upstreams, request, context, options.checksum);
  const subscription = new Subscription(upstreams, request, readers, refused, context, options);
  try {
    for (let answer = await subscription.next(); answer !== undefined; answer = await subscription.next()) yield answer;
  } finally {
    subscription.close();
  }
}

function decodeRequest(bytes: Uint8Array, partitionsMax: number): SubscribeRequest {
  let request: SubscribeRequest;
  try {
    request = fromBinary(SubscribeRequestSchema, bytes);
  } catch (error) {
    throw new DomainError('INVALID_REQUEST', 'this is no SubscribeRequest', { cause: error });
  }
  assertMajor(request.version?.major ?? 0);
  if (request.groupId !== '') {
    throw new DomainError('UNIMPLEMENTED', 'consumer groups are not built yet: subscribe to partitions');
  }
  const { length } = request.partitions;
  if (length < 1 || length > partitionsMax) {
    throw new DomainError('INVALID_REQUEST', `${length} partitions are named; 1 to ${partitionsMax} are allowed`);
  }
  return request;
}

type ReaderWithStart = Reader & { readonly start: StartPosition | undefined };

/**
 * The partitions of a subscription with what the cursor knows of them. Where one is to begin at the end or at a time, the
 * offset is looked up now: after a change of leaders the same words would mean a later place.
 */
async function openReaders(
  upstreams: Upstreams,
  request: SubscribeRequest,
  context: RawContext,
  checksum: Checksum,
): Promise<{ readonly readers: readonly ReaderWithStart[]; readonly refused: readonly Uint8Array[] }> {
  const known = new Map<string, number>();
  for (const entry of request.cursor.length === 0 ? [] : decodeCursor(request.cursor, checksum)) {
    known.set(`${entry.topicId}:${entry.partition}`, entry.nextOffset);
  }
  const readers: ReaderWithStart[] = [];
  const refused: Uint8Array[] = [];
  const keys = new Set<string>();
  for (const { topicPartition, start } of request.partitions) {
    const { topic, partition } = topicPartition ?? { topic: '', partition: 0 };
    if (keys.has(`${topic}:${partition}`)) {
      throw new DomainError('INVALID_REQUEST', `partition ${partition} of ${topic} is named twice`);
    }
    keys.add(`${topic}:${partition}`);
    const location = upstreams.locate({ topic, partition });
    const topicId = upstreams.image.topicByName(topic)?.topicId;
    if (location.kind === 'missing' || topicId === undefined) {
      const error = location.kind === 'missing' ? location.error : new DomainError('TOPIC_NOT_FOUND', topic);
      refused.push(errorResult({ topic, partition }, error, fetchLayout));
      continue;
    }
    const nextOffset = known.get(`${topicId}:${partition}`) ?? offsetOf(start);
    const fresh = { owner: undefined, attempts: 0, retryAtMs: 0, isOver: false };
    readers.push({ topic, partition, topicId, nextOffset, start, ...fresh });
  }
  refused.push(...(await findMovingStarts(upstreams, readers, context)));
  return { readers, refused };
}

function offsetOf(start: StartPosition | undefined): number | undefined {
  return start?.position.case === 'offset' ? Number(start.position.value) : undefined;
}

/** NOT_AVAILABLE when a place cannot be found now; results for partitions where it never can. */
async function findMovingStarts(
  upstreams: Upstreams,
  readers: readonly ReaderWithStart[],
  context: RawContext,
): Promise<Uint8Array[]> {
  const moving = readers.filter((reader) => reader.nextOffset === undefined && isMoving(reader.start));
  const deadlineMs = Math.min(context.deadlineMs ?? startsWithinMs, startsWithinMs);
  const found = await findOffsets(upstreams, moving, { ...pick(context), deadlineMs });
  const refused: Uint8Array[] = [];
  for (const [index, reader] of moving.entries()) {
    const offset = found[index] as number | DomainError;
    if (typeof offset === 'number') reader.nextOffset = offset;
    else if (isPassing(offset)) throw offset;
    else {
      reader.isOver = true;
      refused.push(errorResult(reader, offset, fetchLayout));
    }
  }
  return refused;
}

function isMoving(start: StartPosition | undefined): boolean {
  const position = start?.position;
  return position?.case === 'timestamp' || (position?.case === 'boundary' && position.value === OffsetBoundary.LATEST);
}

/** The parts of a context that are fields of their own; a getter would not survive a spread. */
function pick(context: RawContext) {
  return { signal: context.signal, header: (name: string) => context.header(name) };
}

class Subscription {
  readonly #upstreams: Upstreams;
  readonly #request: SubscribeRequest;
  readonly #context: RawContext;
  readonly #options: SubscribeOptions;
  readonly #state: SubscriptionState;
  readonly #starts: ReadonlyMap<Reader, StartPosition | undefined>;
  readonly #sources = new Set<SubscriptionSource>();
  readonly #stopListening: () => void;
  readonly #heartbeatMs: number;
  readonly #endAtMs: number;
  #refused: readonly Uint8Array[];
  #heartbeatAtMs: number;
  #hasMoved = true;
  #wake: (() => void) | undefined;

  constructor(
    upstreams: Upstreams,
    request: SubscribeRequest,
    readers: readonly ReaderWithStart[],
    refused: readonly Uint8Array[],
    context: RawContext,
    options: SubscribeOptions,
  ) {
    this.#upstreams = upstreams;
    this.#request = request;
    this.#context = context;
    this.#options = options;
    this.#state = new SubscriptionState(readers);
    this.#starts = new Map(readers.map((reader) => [reader, reader.start]));
    this.#refused = refused;
    const wantedMs = durationFromProto(request.heartbeatInterval, 'heartbeat_interval') ?? heartbeat.defaultMs;
    this.#heartbeatMs = Math.min(heartbeat.maxMs, Math.max(heartbeat.minMs, wantedMs));
    const ageMs = durationFromProto(request.maxAge, 'max_age') ?? maxAgeMs;
    this.#endAtMs = this.#nowMs() + Math.min(maxAgeMs, ageMs === 0 ? maxAgeMs : ageMs);
    this.#heartbeatAtMs = this.#nowMs() + this.#heartbeatMs;
    this.#stopListening = upstreams.onChange(() => {
      this.#hasMoved = true;
      this.#wake?.();
    });
  }

  /** The next answer; undefined: the subscription has ended. */
  async next(): Promise<RawMessage | undefined> {
    const { signal, draining } = this.#context;
    for (;;) {
      if (signal.aborted) throw signal.reason;
      if (draining.aborted || this.#nowMs() >= this.#endAtMs) return undefined;
      this.#followLeaders();
      this.#openMissing();
      const fields = this.#takeRefused() ?? this.#takeNews();
      if (fields !== undefined) return this.#answer(fields);
      if (this.#state.isOver) return undefined;
      if (this.#nowMs() >= this.#heartbeatAtMs) return this.#answer([]);
      await this.#wait();
    }
  }

  close(): void {
    this.#stopListening();
    for (const source of this.#sources) source.close();
    this.#sources.clear();
  }

  #nowMs(): number {
    return this.#upstreams.clock.monotonicMs();
  }

  /** Partitions whose leader is another one now leave their upstream; those that are gone are over. */
  #followLeaders(): void {
    if (!this.#hasMoved) return;
    this.#hasMoved = false;
    for (const reader of this.#state.active()) {
      const location = this.#upstreams.locate(reader);
      const topicId = this.#upstreams.image.topicByName(reader.topic)?.topicId;
      if (location.kind === 'missing' || topicId !== reader.topicId) {
        reader.isOver = true;
        const error = location.kind === 'missing' ? location.error : replaced(reader);
        this.#refused = [...this.#refused, errorResult(reader, error, fetchLayout)];
      } else if (reader.owner === undefined) {
        reader.retryAtMs = Math.min(reader.retryAtMs, this.#nowMs());
      } else if (location.kind === 'leader') {
        const owner = reader.owner as SubscriptionSource;
        if (owner.leader.url !== location.leader.url) this.#state.release(reader, this.#nowMs());
      }
    }
    this.#closeUnused();
  }

  #closeUnused(): void {
    for (const source of this.#sources) {
      if (this.#state.ownedBy(source).length > 0) continue;
      source.close();
      this.#sources.delete(source);
    }
  }

  /** Opens upstreams for partitions that have none and are due. */
  #openMissing(): void {
    const groups = new Map<string, { leader: Leader; readers: Reader[] }>();
    const nowMs = this.#nowMs();
    for (const reader of this.#state.active()) {
      if (reader.owner !== undefined || reader.retryAtMs > nowMs) continue;
      const location = this.#upstreams.locate(reader);
      if (location.kind === 'leader') {
        const { leader } = location;
        const group = groups.get(leader.url) ?? { leader, readers: [] };
        group.readers.push(reader);
        groups.set(leader.url, group);
      } else {
        this.#state.release(reader, this.#retryAtMs(reader));
      }
    }
    for (const { leader, readers } of groups.values()) this.#open(leader, readers);
  }

  #open(leader: Leader, readers: readonly Reader[]): void {
    const { clientId, isolationLevel, acceptedCodecs, maxBytes } = this.#request;
    const request = create(SubscribeRequestSchema, {
      clientId,
      isolationLevel,
      acceptedCodecs,
      maxBytes,
      heartbeatInterval: durationToProto(this.#heartbeatMs),
      maxAge: durationToProto(Math.max(1_000, this.#endAtMs - this.#nowMs())),
      partitions: readers.map((reader) => this.#partitionOf(reader)),
    });
    const source = new SubscriptionSource(leader, this.#upstreams.subscriptionTo(leader), request, {
      headers: forwardedHeaders(this.#context),
      onReady: () => this.#wake?.(),
      clockMs: () => this.#nowMs(),
    });
    this.#sources.add(source);
    for (const reader of readers) reader.owner = source;
  }

  #partitionOf(reader: Reader): Pick<SubscribePartition, 'topicPartition' | 'start'> {
    const { topic, partition, nextOffset } = reader;
    const start =
      nextOffset === undefined
        ? this.#starts.get(reader)
        : create(StartPositionSchema, { position: { case: 'offset', value: BigInt(nextOffset) } });
    const topicPartition = { $typeName: 'rustmq.common.TopicPartition' as const, topic, partition };
    return start === undefined ? { topicPartition } : { topicPartition, start };
  }

  #retryAtMs(reader: Reader): number {
    return this.#nowMs() + backoffMs(reader.attempts + 1, retryBackoff, this.#options.random);
  }

  #takeRefused(): readonly Uint8Array[] | undefined {
    if (this.#refused.length === 0) return undefined;
    const fields = this.#refused.flatMap((content) => [fieldHeader(fetchLayout.results, content.length), content]);
    this.#refused = [];
    return fields;
  }

  /** What some upstream has for the reader. The one that was served goes last in line. */
  #takeNews(): readonly Uint8Array[] | undefined {
    for (const source of [...this.#sources]) {
      if (source.silentMs() > silentHeartbeatsMax * this.#heartbeatMs) {
        this.#leave(source, new DomainError('TIMEOUT', 'the broker fell silent'));
        continue;
      }
      for (let event = source.take(); event !== undefined; event = source.take()) {
        if (event.kind === 'end') {
          this.#leave(source, event.error);
          break;
        }
        const fields = this.#accept(source, event.bytes);
        if (fields.length === 0) continue;
        this.#sources.delete(source);
        if (this.#state.ownedBy(source).length > 0) this.#sources.add(source);
        else source.close();
        return fields;
      }
    }
    return undefined;
  }

  #accept(source: SubscriptionSource, bytes: Uint8Array): readonly Uint8Array[] {
    try {
      const { fields, lost } = this.#state.accept(bytes, source);
      for (const reader of lost) this.#state.release(reader, this.#retryAtMs(reader));
      if (lost.length > 0) this.#closeUnused();
      return fields;
    } catch (error) {
      if (!isDomainError(error)) throw error;
      this.#leave(source, error);
      return [];
    }
  }

  /** An upstream has ended. Throws what no other attempt can change. */
  #leave(source: SubscriptionSource, error: DomainError | undefined): void {
    source.close();
    this.#sources.delete(source);
    if (error !== undefined && !isPassing(error)) throw error;
    for (const reader of this.#state.ownedBy(source)) this.#state.release(reader, this.#retryAtMs(reader));
  }

  #answer(fields: readonly Uint8Array[]): RawMessage {
    this.#heartbeatAtMs = this.#nowMs() + this.#heartbeatMs;
    const cursor = encodeCursor(this.#state.cursor(), this.#options.checksum);
    return [...fields, fieldHeader(cursorField, cursor.length), cursor];
  }

  /** Until an upstream has something, the metadata changes, or the next moment at which something is due. */
  async #wait(): Promise<void> {
    let dueAtMs = Math.min(this.#heartbeatAtMs, this.#endAtMs);
    for (const reader of this.#state.active()) {
      if (reader.owner === undefined) dueAtMs = Math.min(dueAtMs, reader.retryAtMs);
    }
    const { signal, draining } = this.#context;
    const wakeOnDrain = (): void => this.#wake?.();
    draining.addEventListener('abort', wakeOnDrain, { once: true });
    await this.#upstreams.pause(Math.max(0, dueAtMs - this.#nowMs()), signal, (wake) => {
      this.#wake = wake;
      return () => {
        this.#wake = undefined;
      };
    });
    draining.removeEventListener('abort', wakeOnDrain);
  }
}

function replaced({ topic }: Reader): DomainError {
  return new DomainError('TOPIC_NOT_FOUND', `topic ${topic} was deleted and made anew: subscribe again`);
}
