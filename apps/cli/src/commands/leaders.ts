/** `fleetmq partition lead`: partitions are handed over to their preferred leaders, or to another broker. */
import type { WantedLeader } from '@fleetmq/client';
import type { ElectedLeader } from '@fleetmq/gen/controller/admin';
import { Unhealthy } from '../failure.ts';
import { UsageError } from '../parse.ts';
import { type Column, plainOf, printRows } from '../print.ts';
import { type CommonOptions, listFormats, outputOf, say, withClient } from '../session.ts';
import type { Terminal } from '../terminal.ts';

export interface LeadOptions extends CommonOptions {
  readonly partition?: readonly number[];
  readonly to?: number;
}

const columns: Column<ElectedLeader>[] = [
  { title: 'TOPIC', value: ({ topicPartition }) => topicPartition?.topic ?? '' },
  { title: 'PARTITION', value: ({ topicPartition }) => topicPartition?.partition ?? '', align: 'right' },
  { title: 'FROM', value: ({ oldLeaderId }) => nameOf(oldLeaderId), align: 'right' },
  { title: 'LEADER', value: ({ leaderId }) => nameOf(leaderId), align: 'right' },
  { title: 'WHY NOT', value: ({ errorMessage }) => errorMessage },
];

/** Without a topic: every partition whose preferred leader could lead and does not. Exit code 1 if one stays where it was. */
export async function electLeaders(terminal: Terminal, topic: string | undefined, options: LeadOptions): Promise<void> {
  const format = outputOf(options, listFormats, 'table');
  const { partition, to } = options;
  if (topic === undefined && (partition !== undefined || to !== undefined)) {
    throw new UsageError('--partition and --to are about one topic: name it');
  }
  const { ElectedLeaderSchema } = await import('@fleetmq/gen/controller/admin');
  await withClient(terminal, options, async ({ admin }) => {
    const numbers =
      topic === undefined
        ? []
        : (partition ?? (await admin.describeTopic(topic)).topic.partitions.map((each) => each.partition));
    const wanted = numbers.map(
      (number): WantedLeader => ({
        topic: topic as string,
        partition: number,
        ...(to !== undefined && { leaderId: to }),
      }),
    );
    const results = await admin.leaders.elect(wanted);
    await printRows(terminal, format, results, columns, (each) => plainOf(ElectedLeaderSchema, each));
    const moved = results.filter(({ errorCode, oldLeaderId, leaderId }) => errorCode === 0 && oldLeaderId !== leaderId);
    await say(terminal, options, `${moved.length} of ${results.length} partitions have another leader`);
    const failed = results.filter(({ errorCode }) => errorCode !== 0);
    if (failed.length > 0) throw new Unhealthy(`${failed.length} partitions were not handed over`);
  });
}

function nameOf(brokerId: number): string | number {
  return brokerId === 0 ? 'none' : brokerId;
}
