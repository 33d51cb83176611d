import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { openNodeDisk } from '@fleetmq/shared/runtime';
import { diskSuite } from './disk.ts';

const folders: string[] = [];
after(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

diskSuite('the disk on node:fs', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fleetmq-disk-'));
  folders.push(folder);
  return openNodeDisk(folder);
});
