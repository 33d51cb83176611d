/** A partition of the fake cluster: its leader, its batches, and the rules about sequences that a producer depends on. */
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { OffsetBoundary, type StartPosition } from '@fleetmq/gen/client/consumer';
import { RecordBatchSchema } from '@fleetmq/gen/common/types';
import type { ValidatedBatch } from '@fleetmq/record';
import { DomainError } from '@fleetmq/shared';

export interface Place {
  readonly topic: string;
  readonly partition: number;
}

interface StoredBatch {
  readonly base: number;
  readonly end: number;
  readonly timeMs: number;
  /** A RecordBatch with its leader's fields. */
  readonly bytes: Uint8Array;
}

interface ProducerState {
  epoch: number;
  next: number;
  readonly recent: { readonly sequence: number; readonly base: number }[];
}

export interface FakePartition {
  leaderId: number;
  leaderEpoch: number;
  logStart: number;
  end: number;
  readonly batches: StoredBatch[];
  readonly producers: Map<bigint, ProducerState>;
}

export function emptyPartition(leaderId: number): FakePartition {
  return { leaderId, leaderEpoch: 1, logStart: 0, end: 0, batches: [], producers: new Map() };
}

/** The base offset; that of the first time for a batch that is repeated. UNKNOWN_PRODUCER, OUT_OF_ORDER_SEQUENCE. */
export function appendTo(log: FakePartition, batch: ValidatedBatch, bytes: Uint8Array): number {
  const { producerId, baseSequence: sequence, recordCount: records } = batch;
  if (producerId !== 0n) {
    const state = log.producers.get(producerId);
    const known = state?.recent.find((entry) => entry.sequence === sequence);
    if (known !== undefined) return known.base;
    if (state === undefined && sequence !== 0) throw new DomainError('UNKNOWN_PRODUCER', `${producerId} is not known`);
    if (state !== undefined && sequence !== state.next) {
      throw new DomainError('OUT_OF_ORDER_SEQUENCE', `${sequence} comes instead of ${state.next}`);
    }
    const next = state ?? { epoch: 0, next: 0, recent: [] };
    next.next = sequence + records;
    next.recent.push({ sequence, base: log.end });
    if (next.recent.length > 5) next.recent.shift();
    log.producers.set(producerId, next);
  }
  const stored = fromBinary(RecordBatchSchema, bytes);
  const base = log.end;
  Object.assign(stored, { baseOffset: BigInt(base), leaderEpoch: log.leaderEpoch, appendTimeMs: 1000n });
  log.batches.push({
    base,
    end: base + records,
    timeMs: batch.maxTimestampMs,
    bytes: toBinary(RecordBatchSchema, stored),
  });
  log.end += records;
  return base;
}

export function offsetOf(partition: FakePartition, position: StartPosition | undefined): number {
  const place = position?.position;
  if (place?.case === 'offset') return Math.min(partition.end, Math.max(partition.logStart, Number(place.value)));
  if (place?.case === 'timestamp') {
    const ms = Number(place.value.seconds) * 1000 + place.value.nanos / 1e6;
    return partition.batches.find(({ timeMs }) => timeMs >= ms)?.base ?? partition.end;
  }
  return place?.value === OffsetBoundary.LATEST ? partition.end : partition.logStart;
}
