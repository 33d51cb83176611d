/**
 * Takes the pages of files out of the page cache, so that the next reader has to go to the disk. Node has no posix_fadvise; GNU
 * dd has (`iflag=nocache count=0` drops what is clean), needs no rights, and leaves everybody else's pages alone, which
 * /proc/sys/vm/drop_caches would not. fincore (util-linux) tells whether it worked: where either is missing, cold reads are skipped.
 */
import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const syncTimeoutMs = 60_000;
/** Of the bytes of the files: more left in memory makes the read no cold one. */
const residentShareMax = 0.02;

/** Writes back what is dirty, so that no target pays for what the one before it has left. */
export async function settleDisk(folder: string): Promise<void> {
  await run('sync', ['--file-system', folder], { timeout: syncTimeoutMs });
}

/** False where it cannot be done, or did not work. */
export async function evict(folder: string): Promise<boolean> {
  await settleDisk(folder);
  const files = await filesBelow(folder);
  try {
    for (const file of files) await run('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none']);
    const { stdout } = await run('fincore', ['--bytes', '--noheadings', '--output', 'RES,SIZE', ...files]);
    let resident = 0;
    let size = 0;
    for (const line of stdout.trim().split('\n')) {
      const [inMemory = 0, whole = 0] = line.trim().split(/\s+/).map(Number);
      resident += inMemory;
      size += whole;
    }
    return resident <= size * residentShareMax;
  } catch {
    return false;
  }
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
