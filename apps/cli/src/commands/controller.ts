/** `fleetmq controller status | add | remove | transfer`. */
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
    const { id, diskId, learner = false, wait } = options;
    const added = await admin.addController(place, {
      ...(id !== undefined && { id }),
      ...(diskId !== undefined && { diskId }),
      learnerOnly: learner,
    });
    await say(terminal, options, `controller ${added} is a learner`);
    let told = '';
    for (;;) {
      const controllers = await admin.listControllers();
      const status = controllers.find(({ controllerId }) => controllerId === added);
      const isDone = status === undefined || status.voter || !status.promoting;
      if (isDone || !wait || terminal.interrupted.aborted) {
        await printAdded(status);
        return;
      }
      const line = `controller ${added}: ${lagOf(status, controllers)} entries behind${status.active ? '' : ', silent'}`;
      if (line !== told) await say(terminal, options, line);
      told = line;
      await pause(200, terminal.interrupted);
    }

    async function printAdded(status: ControllerStatus | undefined): Promise<void> {
      const plain = status === undefined ? { controllerId: added } : plainOf(ControllerStatusSchema, status);
      const what = status === undefined ? 'was removed again' : status.voter ? 'votes' : 'learns';
      await printOne(terminal, format, plain, () => `controller ${added} ${what}\n`);
    }
  });
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
