import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, test } from 'node:test';
import { claimSlot, leftoversOf } from '../chaos/slot.ts';
import { ImageDisk, shareMounts } from './image-disk.ts';
import { Plug } from './plug.ts';
import { missingRequirement } from './requirements.ts';

const content = 'every byte of it';
const missing = await missingRequirement();

describe('disks that lose their power', { skip: missing ?? false, timeout: 60_000 }, () => {
  test('what was synced is there, what was not is gone, and no other disk is touched', async () => {
    await using slot = await claimSlot();
    await shareMounts(slot.folder);
    await using plug = await Plug.start();
    const disk = await ImageDisk.create(path.join(slot.folder, 'one'), 16);
    const other = await ImageDisk.create(path.join(slot.folder, 'other'), 16);
    for (const { folder } of [disk, other]) {
      writeAs(path.join(folder, 'synced'), 'w', (file) => fs.fsyncSync(file));
      writeAs(path.join(folder, 'dsync'), fs.constants.O_CREAT | fs.constants.O_WRONLY | fs.constants.O_DSYNC);
      writeAs(path.join(folder, 'late'), 'w');
    }
    await using _copy = await copyMounts();
    await plug.pull({ folders: [disk.folder], pids: [] });
    assert.throws(() => writeAs(path.join(disk.folder, 'later'), 'w'), { code: 'EIO' });
    await disk.recover();
    for (const name of ['synced', 'dsync']) assert.equal(readText(disk, name), content, name);
    assert.notEqual(readText(disk, 'late'), content);
    assert.equal(readText(other, 'late'), content);
  });

  test('a run leaves no mount and no loop device behind', async () => {
    const slot = await claimSlot();
    await shareMounts(slot.folder);
    await ImageDisk.create(path.join(slot.folder, 'one'), 16);
    assert.ok((await leftoversOf(slot)).some((name) => name.startsWith('/dev/loop')));
    await slot[Symbol.asyncDispose]();
    assert.deepEqual(slot.leftovers, []);
  });
});

/** A process with mounts of its own, as there may be any on the machine. */
async function copyMounts(): Promise<AsyncDisposable> {
  const child = spawn('unshare', ['-m', '--propagation', 'slave', 'sh', '-c', 'echo ready; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  const ended = once(child, 'exit');
  return {
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

function writeAs(name: string, flags: string | number, then: (file: number) => void = () => undefined): void {
  const file = fs.openSync(name, flags);
  try {
    fs.writeSync(file, content);
    then(file);
  } finally {
    fs.closeSync(file);
  }
}

/** Empty when there is no such file. */
function readText({ folder }: ImageDisk, name: string): string {
  const file = path.join(folder, name);
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
}
