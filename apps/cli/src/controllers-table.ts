/** How controllers are shown: their columns, and how far one lags behind the leader. */
import type { ControllerStatus } from '@fleetmq/gen/controller/admin';
import type { Column } from './print.ts';

export const controllerColumns: Column<ControllerStatus>[] = [
  { title: 'CONTROLLER', value: ({ controllerId }) => controllerId, align: 'right' },
  { title: 'ROLE', value: roleOf },
  { title: 'STATE', value: ({ active }) => (active ? 'active' : 'silent') },
  { title: 'INTERNAL', value: ({ host, port }) => (host === '' ? '' : `${host}:${port}`) },
  { title: 'MATCH', value: ({ matchIndex }) => matchIndex, align: 'right' },
];

/** With what the leader knows of the way there. */
export const detailColumns: Column<ControllerStatus>[] = [
  ...controllerColumns,
  { title: 'PROGRESS', value: ({ progress }) => progress },
  { title: 'HEARD', value: ({ lastContact }) => (lastContact === undefined ? '' : `${toMs(lastContact)} ms ago`) },
  { title: 'DISK', value: ({ diskId }) => diskId },
];

function roleOf({ leader, voter, promoting }: ControllerStatus): string {
  if (leader) return 'leader';
  if (voter) return 'follower';
  return promoting ? 'joining' : 'learner';
}

/** Entries that the leader has and this one has not. */
export function lagOf(controller: ControllerStatus, all: readonly ControllerStatus[]): bigint {
  const end = all.find(({ leader }) => leader)?.matchIndex ?? controller.matchIndex;
  return end > controller.matchIndex ? end - controller.matchIndex : 0n;
}

function toMs({ seconds, nanos }: { readonly seconds: bigint; readonly nanos: number }): number {
  return Number(seconds) * 1_000 + Math.round(nanos / 1_000_000);
}
