/** `fleetmq controller status | add | replace | remove | transfer`. */
import type { Admin } from '@fleetmq/client';
import type { ControllerStatus } from '@fleetmq/gen/controller/admin';
import { detailColumns, lagOf } from '../controllers-table.ts';
import { parseAddress } from '../parse.ts';
import { plainOf, printOne, printRows } from '../print.ts';
import { type CommonOptions, confirm, listFormats, outputOf, say, withClient } from '../session.ts';
import type { Terminal } from '../terminal.ts';
import { pause } from '../watching.ts';

export async function listControllers(terminal: Terminal, options: CommonOptions): Promise<void> {
  const format = outputOf(options, listFormats, 'table');
  const { ControllerStatusSchema } = await import('@fleetmq/gen/controller/admin');
  await withClient(terminal, options, async ({ admin }) => {
    const controllers = await admin.listControllers();
    await printRows(terminal, format, controllers, detailColumns, (each) => plainOf(ControllerStatusSchema, each));
  });
}

export interface AddOptions extends CommonOptions {
  readonly id?: number;
  readonly diskId?: string;
  readonly learner?: boolean;
  /** False with `--no-wait`. */
  readonly wait: boolean;
}

/** Waits until the new one votes (a learner: is there), telling how far it has come. */
export async function addController(terminal: Terminal, address: string, options: AddOptions): Promise<void> {
  const format = outputOf(options, listFormats, 'table');
  const place = parseAddress(address);
  const { ControllerStatusSchema } = await import('@fleetmq/gen/controller/admin');
  await withClient(terminal, options, async ({ admin }) => {
    const { id, diskId, learner = false } = options;
    const added = await admin.addController(place, {
      ...(id !== undefined && { id }),
      ...(diskId !== undefined && { diskId }),
      learnerOnly: learner,
    });
    const status = await untilPromoted(terminal, options, admin, added);
    const plain = status === undefined ? { controllerId: added } : plainOf(ControllerStatusSchema, status);
    await printOne(terminal, format, plain, () => `controller ${added} ${whatOf(status)}\n`);
  });
}

export interface ReplaceOptions extends CommonOptions {
  readonly id?: number;
  readonly diskId?: string;
  readonly yes?: boolean;
  /** False with `--no-wait`. */
  readonly wait: boolean;
}

/** Waits until the new one votes in the place of the old one, and the old one is out. */
export async function replaceController(
  terminal: Terminal,
  { replacedId, address }: { readonly replacedId: number; readonly address: string },
  options: ReplaceOptions,
): Promise<void> {
  const format = outputOf(options, listFormats, 'table');
  const place = parseAddress(address);
  const { id, diskId, yes } = options;
  await confirm(terminal, `Replace controller ${replacedId}? Its data folder cannot come back.`, yes);
  const { ControllerStatusSchema } = await import('@fleetmq/gen/controller/admin');
  await withClient(terminal, options, async ({ admin }) => {
    const names = { ...(id !== undefined && { id }), ...(diskId !== undefined && { diskId }) };
    const added = await admin.replaceController(replacedId, place, names);
    const isDone = (all: readonly ControllerStatus[]): boolean =>
      !all.some(({ controllerId }) => controllerId === replacedId);
    const status = await untilPromoted(terminal, options, admin, added, isDone);
    const plain = status === undefined ? { controllerId: added } : plainOf(ControllerStatusSchema, status);
    await printOne(terminal, format, plain, () => `controller ${added} ${whatOf(status)}\n`);
  });
}

function whatOf(status: ControllerStatus | undefined): string {
  if (status === undefined) return 'was removed again';
  return status.voter ? 'votes' : 'learns';
}

/** Tells how far it has come until it votes (a learner: is there) and `isDone`, or nobody waits any more. */
async function untilPromoted(
  terminal: Terminal,
  options: CommonOptions & { readonly wait: boolean },
  admin: Admin,
  id: number,
  isDone: (controllers: readonly ControllerStatus[]) => boolean = () => true,
): Promise<ControllerStatus | undefined> {
  await say(terminal, options, `controller ${id} is a learner`);
  let told = '';
  for (;;) {
    const controllers = await admin.listControllers();
    const status = controllers.find(({ controllerId }) => controllerId === id);
    if (status === undefined || !options.wait || terminal.interrupted.aborted) return status;
    if ((status.voter || !status.promoting) && isDone(controllers)) return status;
    const line = `controller ${id}: ${lagOf(status, controllers)} entries behind${status.active ? '' : ', silent'}`;
    if (line !== told) await say(terminal, options, line);
    told = line;
    await pause(200, terminal.interrupted);
  }
}

export interface RemoveOptions extends CommonOptions {
  readonly force?: boolean;
  readonly yes?: boolean;
}

export async function removeController(terminal: Terminal, id: number, options: RemoveOptions): Promise<void> {
  const { force = false, yes } = options;
  await confirm(terminal, `Remove controller ${id}? Its data folder cannot come back.`, yes);
  await withClient(terminal, options, ({ admin }) => admin.removeController(id, { force }));
  await say(terminal, options, `controller ${id} is removed`);
}

export async function transferController(terminal: Terminal, id: number, options: CommonOptions): Promise<void> {
  const format = outputOf(options, listFormats, 'table');
  await withClient(terminal, options, async ({ admin }) => {
    const leaderId = await admin.transferController(id);
    await printOne(terminal, format, { leaderId }, () => `controller ${leaderId} leads\n`);
  });
}
