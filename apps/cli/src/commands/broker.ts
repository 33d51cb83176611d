/** `fleetmq broker drain`: a broker hands over what it leads, and, on request, what it holds. */
import type { Admin } from '@fleetmq/client';
import { UsageError } from '../parse.ts';
import { printOne } from '../print.ts';
import { type CommonOptions, listFormats, outputOf, say, withClient } from '../session.ts';
import type { Terminal } from '../terminal.ts';
import { pause } from '../watching.ts';
import { waitFor } from './partition.ts';

export interface DrainOptions extends CommonOptions {
  readonly moveReplicas?: boolean;
  readonly cancel?: boolean;
  /** Bytes per second and broker. */
  readonly throttle?: number;
  /** False with `--no-wait`. */
  readonly wait: boolean;
}

/** Partitions whose other replicas are not in sync stay with it: it is asked for again until they can go. */
export async function drainBroker(terminal: Terminal, id: number, options: DrainOptions): Promise<void> {
  const format = outputOf(options, listFormats, 'table');
  const { moveReplicas = false, cancel = false, wait } = options;
  if (options.throttle !== undefined && !moveReplicas) throw new UsageError('--throttle is for --move-replicas');
  if (moveReplicas && cancel) throw new UsageError('replicas that moved stay where they are: give only --cancel');
  await withClient(terminal, options, async ({ admin }) => {
    let { remainingLeaders, reassignmentId } = await admin.drainBroker(id, {
      ...{ moveReplicas, cancel },
      ...(options.throttle !== undefined && { bytesPerSecondMax: options.throttle }),
    });
    if (reassignmentId !== '') {
      await say(terminal, options, `reassignment ${reassignmentId}`);
      if (wait) await waitFor(terminal, options, admin, reassignmentId);
    }
    if (wait && !cancel) remainingLeaders = await untilDrained(terminal, options, admin, id);
    const plain = { brokerId: id, remainingLeaders, reassignmentId };
    await printOne(terminal, format, plain, () =>
      cancel ? `broker ${id} serves\n` : `broker ${id} leads ${remainingLeaders} partitions\n`,
    );
  });
}

async function untilDrained(terminal: Terminal, options: DrainOptions, admin: Admin, id: number): Promise<number> {
  let told: number | undefined;
  for (;;) {
    const { remainingLeaders } = await admin.drainBroker(id);
    if (remainingLeaders === 0) return 0;
    if (remainingLeaders !== told) await say(terminal, options, `broker ${id} leads ${remainingLeaders} partitions`);
    told = remainingLeaders;
    if (!(await pause(500, terminal.interrupted))) return remainingLeaders;
  }
}
