/** The topics of a run: each promises something else of what was acknowledged. */
import type { Acks, Client, TopicDescription } from '@fleetmq/client/node';

export interface PowerTopic {
  readonly name: string;
  readonly replicas: number;
  readonly partitions: number;
  readonly acks: Acks;
}

export const topics: readonly PowerTopic[] = [
  { name: 'all', replicas: 3, partitions: 4, acks: 'all' },
  { name: 'majority', replicas: 3, partitions: 4, acks: 'majority' },
  { name: 'single', replicas: 1, partitions: 3, acks: 'all' },
];

/** Small, so that every few rounds meet a segment that is being closed. */
const segmentBytes = 512 * 1024;

/** `isUnsafe`: no acknowledgment waits for the disk, which a run must find out. */
export async function makeTopics(client: Client, isUnsafe: boolean): Promise<void> {
  const flush = isUnsafe ? { 'flush.policy': 'unsafe-os-cache' } : {};
  for (const { name, replicas, partitions } of topics) {
    const config = {
      'segment.bytes': String(segmentBytes),
      ...(replicas > 1 && { 'min.insync.replicas': '2' }),
      ...flush,
    };
    await client.admin.createTopic(name, { partitions, replicationFactor: replicas, config });
  }
}

export type PartitionView = TopicDescription['topic']['partitions'][number];

/** `all/3` */
export function partitionName(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}
