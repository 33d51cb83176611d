/** From what the caller named (topics, places) to partitions and offsets. */
import type { Offset } from '@fleetmq/shared';
import type { Metadata } from '../metadata.ts';
import { findOffsets, type PartitionRef, type Position } from '../offsets.ts';
import type { ConsumerDeps, ConsumerOptions } from './options.ts';

interface Bounds {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface Assignment extends PartitionRef {
  readonly from: Position;
}

export interface Placed extends PartitionRef {
  readonly position: Position;
}

/** The partitions to read, topics looked up anew. TOPIC_NOT_FOUND. */
export async function resolveAssignment(
  metadata: Metadata,
  options: Pick<ConsumerOptions<never, never>, 'topic' | 'topics' | 'assignment' | 'from'>,
  bounds: Bounds,
): Promise<Assignment[]> {
  const { topic, topics = topic === undefined ? [] : [topic], assignment, from = 'latest' } = options;
  if (assignment !== undefined) return assignment.map((entry) => ({ from, ...entry }));
  const views = await Promise.all([...new Set(topics)].map((name) => metadata.refresh(name, bounds)));
  return views.flatMap(({ name, partitions }) => partitions.map(({ partition }) => ({ topic: name, partition, from })));
}

/** Places as offsets, in order; plain offsets are taken as they are. */
export async function resolvePlaces(
  deps: Pick<ConsumerDeps, 'metadata' | 'clientId'>,
  places: readonly Placed[],
  bounds: Bounds,
): Promise<Offset[]> {
  const asked = places.filter(({ position }) => typeof position !== 'number');
  const found = await findOffsets(deps.metadata, deps.clientId, asked, bounds);
  let next = 0;
  return places.map(({ position }) =>
    typeof position === 'number' ? (position as Offset) : (found[next++] as Offset),
  );
}

/** The end of the log that a place names, if it is one. */
export function originOf(position: Position): 'earliest' | 'latest' | undefined {
  return position === 'earliest' || position === 'latest' ? position : undefined;
}
