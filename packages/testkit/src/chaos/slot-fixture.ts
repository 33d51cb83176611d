/** Plays a run in the tests of slot.ts: takes a slot, fills it, says where it is, and waits to be killed. */

import { spawn } from 'node:child_process';
import * as path from 'node:path';
import { PrivateNetwork } from './network.ts';
import { claimSlot } from './slot.ts';
import { mountSmallDisk } from './small-disk.ts';

const slot = await claimSlot();
const network = await PrivateNetwork.create(slot, ['c1', 'c2']);
await mountSmallDisk(slot, path.join(slot.folder, 'disk'), 1);
const [program, ...parameters] = [...network.through('c1'), 'sleep', '600'];
const inside = spawn(program as string, parameters, { stdio: 'ignore', detached: true });
process.stdout.write(`${JSON.stringify({ prefix: slot.prefix, pid: inside.pid })}\n`);
setInterval(() => undefined, 60_000);
