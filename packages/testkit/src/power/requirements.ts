/** What real power loss needs of the machine: private networks, ext4 images on loop devices, and a kernel that lets a file system be cut off. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { run } from '../chaos/command.ts';
import { missingBasics } from '../chaos/requirements.ts';
import { makeImage, mountImage } from './image-disk.ts';
import { Plug } from './plug.ts';

const packages = { 'mkfs.ext4': 'e2fsprogs', losetup: 'mount', umount: 'mount', python3: 'python3' };
const probeMiB = 8;

/** What is missing, and how to get it; undefined: nothing. */
export async function missingRequirement(): Promise<string | undefined> {
  return (await missingBasics(packages)) ?? (await whyNoPowerLoss());
}

async function whyNoPowerLoss(): Promise<string | undefined> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fmq-probe-'));
  const target = path.join(folder, 'disk');
  const image = path.join(folder, 'image');
  try {
    await using plug = await Plug.start();
    await makeImage(image, probeMiB);
    fs.mkdirSync(target);
    await mountImage(image, target);
    await plug.pull({ folders: [target], pids: [] });
    return undefined;
  } catch (error) {
    return `the power of an ext4 image on a loop device cannot be cut here: ${(error as Error).message}`;
  } finally {
    await run('umount', [target]).catch(() => undefined);
    fs.rmSync(folder, { recursive: true, force: true });
  }
}
