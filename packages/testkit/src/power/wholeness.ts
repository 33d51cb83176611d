/** When the fleet is itself again: every partition has a leader, all its replicas are in sync, and it takes writes. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from '@fleetmq/client/node';
import { isDomainError } from '@fleetmq/shared';
import type { Acknowledgments } from './acknowledgments.ts';
import { partitionName, topics } from './topics.ts';

const everyMs = 100;

export interface Wholeness {
  /** From `sinceMs` on. Undefined: not in time. */
  readonly writableMs: number | undefined;
  readonly wholeMs: number | undefined;
  /** What is missing; undefined: nothing. */
  readonly missing: string | undefined;
}

export interface WholenessOptions {
  readonly client: Client;
  readonly acknowledgments: Acknowledgments;
  /** When the faults were over, on the monotonic clock. */
  readonly sinceMs: number;
  readonly withinMs: number;
}

export async function waitUntilWhole(options: WholenessOptions): Promise<Wholeness> {
  const { client, acknowledgments, sinceMs, withinMs } = options;
  let writableMs: number | undefined;
  let wholeMs: number | undefined;
  for (;;) {
    const unwritten = allPartitions.filter((partition) => !acknowledgments.hasSince(partition, sinceMs));
    if (unwritten.length === 0) writableMs ??= performance.now() - sinceMs;
    const missing = wholeMs === undefined ? await missingReplicas(client) : undefined;
    if (missing === undefined) wholeMs ??= performance.now() - sinceMs;
    if (writableMs !== undefined && wholeMs !== undefined) return { writableMs, wholeMs, missing: undefined };
    if (performance.now() > sinceMs + withinMs) {
      const silent = unwritten.length === 0 ? [] : [`no record was acknowledged by ${unwritten.join(', ')}`];
      return { writableMs, wholeMs, missing: [...(missing === undefined ? [] : [missing]), ...silent].join('; ') };
    }
    await delay(everyMs);
  }
}

const allPartitions = topics.flatMap(({ name, partitions }) => {
  return Array.from({ length: partitions }, (_, partition) => partitionName(name, partition));
});

/** In words; undefined: none is missing. */
async function missingReplicas({ admin }: Client): Promise<string | undefined> {
  try {
    for (const { name, replicas } of topics) {
      const { topic } = await admin.describeTopic(name, { timeoutMs: 5_000 });
      const lame = topic.partitions.find(({ leaderId, inSyncReplicas }) => {
        return leaderId === 0 || inSyncReplicas.length < replicas;
      });
      if (lame !== undefined) {
        return `${partitionName(name, lame.partition)} has leader ${lame.leaderId}, in sync are ${lame.inSyncReplicas}`;
      }
    }
    return undefined;
  } catch (error) {
    if (!isDomainError(error)) throw error;
    return error.message;
  }
}
