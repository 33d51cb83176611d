/** `fleetmq partition move | moves | cancel`: replicas go to other brokers. */
import type { Admin, ReassignmentList, WantedReplicas } from '@fleetmq/client';
import type { Reassignment, ReassignmentProgress } from '@fleetmq/gen/controller/admin';
import type { PlannedMove } from '@fleetmq/gen/controller/cluster';
import { UsageError } from '../parse.ts';
import { type Column, formatBytes, formatTable, plainOf, printOne, printRows } from '../print.ts';
import { startProgress } from '../progress.ts';
import { type CommonOptions, confirm, listFormats, outputOf, say, withClient } from '../session.ts';
import { type Terminal, write } from '../terminal.ts';
import { pause } from '../watching.ts';

export interface MoveOptions extends CommonOptions {
  readonly partition?: readonly number[];
  readonly to?: readonly number[];
  readonly replicationFactor?: number;
  readonly dryRun?: boolean;
  /** Bytes per second and broker. */
  readonly throttle?: number;
  /** False with `--no-wait`. */
  readonly wait: boolean;
}

const lookEveryMs = 200;

/** Tells what moves, and waits until all of it is there. Ctrl-C ends the waiting, not the move. */
export async function movePartitions(terminal: Terminal, topic: string, options: MoveOptions): Promise<void> {
  const format = outputOf(options, listFormats, 'table');
  const { to, replicationFactor, dryRun = false, wait } = options;
  if (to !== undefined && replicationFactor !== undefined) {
    throw new UsageError('give --to or --replication-factor, not both');
  }
  const { PlannedMoveSchema } = await import('@fleetmq/gen/controller/cluster');
  await withClient(terminal, options, async ({ admin }) => {
    const partitions = options.partition ?? (await partitionsOf(admin, topic));
    const wanted = partitions.map(
      (partition): WantedReplicas => ({
        topic,
        partition,
        ...(to !== undefined && { replicas: to }),
        ...(replicationFactor !== undefined && { replicationFactor }),
      }),
    );
    const { throttle: bytesPerSecondMax } = options;
    const { id, moves } = await admin.reassignments.start(wanted, {
      validateOnly: dryRun,
      ...(bytesPerSecondMax !== undefined && { bytesPerSecondMax }),
    });
    if (format === 'table' && moves.length === 0) await write(terminal.stdout, 'nothing has to move\n');
    else await printRows(terminal, format, moves, moveColumns, (each) => plainOf(PlannedMoveSchema, each));
    if (id === '') return;
    await say(terminal, options, `reassignment ${id}`);
    if (wait) await waitFor(terminal, options, admin, id);
  });
}

/** Until the reassignment has ended, or the user has seen enough. */
export async function waitFor(terminal: Terminal, options: CommonOptions, admin: Admin, id: string): Promise<void> {
  const find = async (): Promise<ReassignmentProgress | undefined> =>
    (await admin.reassignments.list()).progress.find(({ reassignmentId }) => reassignmentId === id);
  let now = await find();
  const bar = await startProgress(terminal, options, now?.totalPartitions);
  try {
    while (now !== undefined && now.endTime === undefined) {
      bar.update(shareOf(now), howFar(now));
      if (!(await pause(lookEveryMs, terminal.interrupted))) {
        await say(terminal, options, `it goes on: fleetmq partition moves, or fleetmq partition cancel ${id}`);
        return;
      }
      now = await find();
    }
  } finally {
    bar.stop();
  }
  if (now === undefined) return;
  const { donePartitions, cancelledPartitions } = now;
  await say(
    terminal,
    options,
    `${donePartitions} partitions moved${cancelledPartitions > 0 ? `, ${cancelledPartitions} cancelled` : ''}`,
  );
}

export interface MovesOptions extends CommonOptions {
  readonly watch?: boolean;
}

export async function listMoves(terminal: Terminal, options: MovesOptions): Promise<void> {
  const format = outputOf(options, listFormats, 'table');
  const { ListReassignmentsResponseSchema } = await import('@fleetmq/gen/controller/admin');
  await withClient(terminal, options, async ({ admin }) => {
    let told = '';
    for (;;) {
      const list = await admin.reassignments.list();
      const plain = JSON.stringify(plainOf(ListReassignmentsResponseSchema, list));
      const isNews = plain !== told;
      told = plain;
      if (isNews) await printOne(terminal, format, JSON.parse(plain), () => formatList(terminal, list));
      if (options.watch !== true || !(await pause(lookEveryMs, terminal.interrupted))) return;
    }
  });
}

async function formatList(terminal: Terminal, { progress, reassignments }: ReassignmentList): Promise<string> {
  if (progress.length === 0) return 'nothing moves\n';
  const heads = await formatTable(terminal, progress, progressColumns);
  if (reassignments.length === 0) return heads;
  return `${heads}\n${await formatTable(terminal, reassignments, movingColumns)}`;
}

export interface CancelOptions extends CommonOptions {
  readonly yes?: boolean;
}

export async function cancelMove(terminal: Terminal, id: string, options: CancelOptions): Promise<void> {
  const format = outputOf(options, listFormats, 'table');
  await confirm(terminal, `Cancel reassignment ${id}?`, options.yes);
  const { CancelReassignmentResponseSchema } = await import('@fleetmq/gen/controller/admin');
  await withClient(terminal, options, async ({ admin }) => {
    const done = await admin.reassignments.cancel(id);
    await printOne(terminal, format, plainOf(CancelReassignmentResponseSchema, done), () => {
      const { cancelledPartitions, remainingPartitions } = done;
      const rest =
        remainingPartitions === 0 ? '' : `, ${remainingPartitions} go on: none of their old replicas is in sync`;
      return `${cancelledPartitions} partitions went back${rest}\n`;
    });
  });
}

/** In partitions: by bytes once these are known, since one partition may be most of them. */
function shareOf({
  donePartitions,
  cancelledPartitions,
  totalPartitions,
  copiedBytes,
  totalBytes,
}: ReassignmentProgress) {
  const ended = donePartitions + cancelledPartitions;
  return totalBytes === 0n ? ended : Math.max(ended, (Number(copiedBytes) / Number(totalBytes)) * totalPartitions);
}

function howFar({ donePartitions, totalPartitions, copiedBytes, totalBytes }: ReassignmentProgress): string {
  const bytes = totalBytes === 0n ? '' : `, ${formatBytes(copiedBytes)} of ${formatBytes(totalBytes)}`;
  return `${donePartitions} of ${totalPartitions} moved${bytes}`;
}

async function partitionsOf(admin: Admin, topic: string): Promise<readonly number[]> {
  return (await admin.describeTopic(topic)).topic.partitions.map(({ partition }) => partition);
}

type Move = Pick<PlannedMove, 'topicPartition' | 'sourceReplicas' | 'targetReplicas'>;

const moveColumns: Column<Move>[] = [
  { title: 'TOPIC', value: ({ topicPartition }) => topicPartition?.topic ?? '' },
  { title: 'PARTITION', value: ({ topicPartition }) => topicPartition?.partition ?? '', align: 'right' },
  { title: 'FROM', value: ({ sourceReplicas }) => sourceReplicas.join(',') },
  { title: 'TO', value: ({ targetReplicas }) => targetReplicas.join(',') },
];

const movingColumns: Column<Reassignment>[] = [
  ...moveColumns,
  { title: 'REASSIGNMENT', value: ({ reassignmentId }) => reassignmentId },
];

const progressColumns: Column<ReassignmentProgress>[] = [
  { title: 'REASSIGNMENT', value: ({ reassignmentId }) => reassignmentId },
  { title: 'STATE', value: ({ endTime }) => (endTime === undefined ? 'running' : 'ended') },
  { title: 'PARTITIONS', value: ({ totalPartitions }) => totalPartitions, align: 'right' },
  { title: 'MOVED', value: ({ donePartitions }) => donePartitions, align: 'right' },
  { title: 'CANCELLED', value: ({ cancelledPartitions }) => cancelledPartitions, align: 'right' },
  { title: 'COPIED', value: ({ copiedBytes }) => formatBytes(copiedBytes), align: 'right' },
  { title: 'OF', value: ({ totalBytes }) => formatBytes(totalBytes), align: 'right' },
  {
    title: 'THROTTLE',
    value: ({ bytesPerSecondMax }) => (bytesPerSecondMax === 0n ? 'none' : `${formatBytes(bytesPerSecondMax)}/s`),
    align: 'right',
  },
];
