/**
 * After everything was healed all members come to the same index, and hold the same metadata: compared as each of them gives
 * it to its watchers, whole.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { equalValues, type MetadataSnapshotImage } from '@fleetmq/metadata';
import { MetadataWatch } from '@fleetmq/metadata/link';
import { isDomainError } from '@fleetmq/shared';
import { nodeClock, nodeRandom, nodeTimers } from '@fleetmq/shared/runtime';
import { createClientPool } from './callers.ts';
import type { Cluster, Seat } from './cluster.ts';
import type { Leaders } from './leaders.ts';

const withinMs = 60_000;

export interface Convergence {
  /** Undefined: all is well. */
  readonly finding: string | undefined;
  /** From the call on. */
  readonly tookMs: number;
  readonly topics: number;
  readonly version: number;
}

export async function converge(cluster: Cluster, leaders: Leaders): Promise<Convergence> {
  const startedMs = performance.now();
  const result = (finding: string | undefined, image?: MetadataSnapshotImage): Convergence => {
    const tookMs = performance.now() - startedMs;
    return { finding, tookMs, topics: image?.topics.length ?? 0, version: image?.version ?? 0 };
  };
  let finding: string | undefined = 'nothing was compared';
  while (performance.now() < startedMs + withinMs) {
    finding = await differenceOfIndexes(cluster, leaders);
    if (finding === undefined) {
      const images = await Promise.all(cluster.members.map((seat) => metadataOf(seat, startedMs + withinMs)));
      finding = differenceOfImages(cluster.members, images);
      if (finding === undefined) return result(undefined, images[0]);
    }
    await delay(100);
  }
  return result(`not within ${withinMs} ms: ${finding}`);
}

async function differenceOfIndexes({ members }: Cluster, leaders: Leaders): Promise<string | undefined> {
  try {
    const views = await Promise.all(members.map((seat) => leaders.ask(seat)));
    const told = views.map(({ leaderId, term, appliedIndex, lastIndex, state }) => {
      return `${state} in term ${term} of ${leaderId}, applied ${appliedIndex} of ${lastIndex}`;
    });
    const isDone = views.every(({ appliedIndex, lastIndex }) => appliedIndex === lastIndex);
    if (isDone && new Set(told).size === 1 && views[0]?.leaderId !== 0) return undefined;
    return members.map(({ id }, position) => `controller ${id} is ${told[position]}`).join('; ');
  } catch (error) {
    if (!isDomainError(error)) throw error;
    return error.message;
  }
}

/** As this controller gives it to a watcher that has nothing; undefined: it gave nothing in time. */
async function metadataOf(seat: Seat, deadlineMs: number): Promise<MetadataSnapshotImage | undefined> {
  await using pool = createClientPool();
  await using watch = new MetadataWatch({
    controllers: [{ controllerId: seat.id, host: seat.host, port: seat.port }],
    transportOf: ({ host, port }) => pool.get(`http://${host}:${port}`),
    watcher: 'chaos',
    clock: nodeClock,
    timers: nodeTimers,
    random: nodeRandom,
  });
  watch.start();
  const late = AbortSignal.timeout(Math.max(1, Math.ceil(deadlineMs - performance.now())));
  try {
    await watch.waitForVersion(1, late);
    return watch.image.snapshot();
  } catch (error) {
    if (!late.aborted) throw error;
    return undefined;
  }
}

function differenceOfImages(
  members: readonly Seat[],
  images: readonly (MetadataSnapshotImage | undefined)[],
): string | undefined {
  const [first] = images;
  const different = members.filter((_, position) => first === undefined || !equalValues(first, images[position]));
  if (different.length === 0) return undefined;
  return `the metadata of controller ${members[0]?.id} differ from those of ${different.map(({ id }) => id).join(', ')}`;
}
