import assert from 'node:assert/strict';
import { constants, openSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { lstat, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { openNodeDisk } from './node-disk.ts';
import { NodeFile, skipBytes } from './node-file.ts';

const base = await mkdtemp(join(tmpdir(), 'fleetmq-node-disk-'));
after(() => rm(base, { recursive: true, force: true }));
let folders = 0;
const newFolder = (): string => join(base, `${++folders}`);
const onLinux = { skip: process.platform !== 'linux' && 'needs the devices of Linux' };
const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values);

describe('the disk on node:fs', () => {
  test('makes its root, folders with mode 0700 and files with mode 0600', async () => {
    const root = join(newFolder(), 'deep', 'er');
    const disk = await openNodeDisk(root);
    await disk.makeFolder('a/b');
    await disk.writeFileAtomic('a/c', bytes(1));
    await (await disk.open('a/d', 'create')).close();
    const modeOf = async (path: string): Promise<number> => (await stat(join(root, path))).mode & 0o777;
    assert.deepEqual(await Promise.all(['', 'a', 'a/b'].map(modeOf)), [0o700, 0o700, 0o700]);
    assert.deepEqual(await Promise.all(['a/c', 'a/d'].map(modeOf)), [0o600, 0o600]);
  });

  test('follows no link as the last step of a path', async () => {
    const root = newFolder();
    const disk = await openNodeDisk(root);
    const outside = join(base, 'outside');
    await writeFile(outside, 'untouched');
    await symlink(outside, join(root, 'link'));
    for (const mode of ['read', 'read-write', 'create'] as const) {
      await assert.rejects(disk.open('link', mode), { code: 'STORAGE_FAILED', message: /cannot open link: ELOOP/ });
    }
    await disk.writeFileAtomic('link', bytes(1));
    assert.ok((await lstat(join(root, 'link'))).isFile(), 'the link itself was replaced');
    assert.equal((await stat(outside)).size, 9);
  });

  test('removes a link, not what it leads to', async () => {
    const root = newFolder();
    const disk = await openNodeDisk(root);
    const outside = join(base, 'outside-folder');
    await mkdir(outside);
    await writeFile(join(outside, 'file'), '');
    await symlink(outside, join(root, 'link'));
    await disk.remove('link');
    assert.deepEqual(await readdir(outside), ['file']);
  });

  test('hides and replaces what an interrupted atomic write left behind', async () => {
    const root = newFolder();
    const disk = await openNodeDisk(root);
    await writeFile(join(root, 'a~'), 'half of a longer content');
    assert.deepEqual(await disk.list(''), []);
    await disk.writeFileAtomic('a', bytes(1, 2));
    assert.deepEqual(await readdir(root), ['a']);
    assert.deepEqual(await disk.readFile('a'), bytes(1, 2));
  });

  test('cleans up when an atomic write fails', async () => {
    const root = newFolder();
    const disk = await openNodeDisk(root);
    await disk.makeFolder('a/b');
    await assert.rejects(disk.writeFileAtomic('a', bytes(1)), { code: 'STORAGE_FAILED' });
    assert.deepEqual(await readdir(root), ['a']);
  });

  test('refuses backslashes, tildes, NUL and endless paths', async () => {
    const disk = await openNodeDisk(newFolder());
    for (const path of ['a\\b', 'a~', 'a\0b', 'x'.repeat(1025)]) {
      await assert.rejects(disk.open(path, 'create'), { code: 'STORAGE_FAILED', message: /no path inside/ });
    }
  });

  test('refuses to read more at once than its limit', async () => {
    const disk = await openNodeDisk(newFolder(), { readBytesMax: 4 });
    await disk.writeFileAtomic('a', bytes(1, 2, 3, 4, 5));
    await assert.rejects(disk.readFile('a'), { code: 'REQUEST_TOO_LARGE', message: /5 bytes at once, the limit is 4/ });
    const file = await disk.open('a', 'read');
    assert.deepEqual(await file.read(1, 4), bytes(2, 3, 4, 5));
    await file.close();
  });

  test('names the path and the cause when something fails', async () => {
    const disk = await openNodeDisk(newFolder());
    await assert.rejects(disk.open('absent/file', 'create'), (error: Error) => {
      assert.match(error.message, /cannot open absent\/file: ENOENT/);
      assert.equal((error.cause as NodeJS.ErrnoException).code, 'ENOENT');
      return true;
    });
  });
});

describe('a file on node:fs', () => {
  test('a full disk is DISK_FULL, which is retriable', onLinux, async () => {
    const file = new NodeFile('full', openSync('/dev/full', 'r+'), { readBytesMax: 10 });
    await assert.rejects(file.write([bytes(1)], 0), {
      code: 'DISK_FULL',
      retriable: true,
      message: /cannot write full: ENOSPC/,
    });
    await assert.rejects(file.write([bytes(1), bytes(2)], 0), { code: 'DISK_FULL' });
    await file.close();
  });

  test('after a failed sync nothing of this file is believed', onLinux, async () => {
    const file = new NodeFile('null', openSync('/dev/null', 'r+'), { readBytesMax: 10 });
    await file.write([bytes(1)], 0);
    await assert.rejects(file.sync(), { code: 'STORAGE_FAILED', message: /cannot sync null: EINVAL/ });
    await assert.rejects(file.sync(), { code: 'STORAGE_FAILED', message: /an earlier sync of it failed/ });
    await assert.rejects(file.write([bytes(1)], 0), {
      code: 'STORAGE_FAILED',
      message: /an earlier sync of it failed/,
    });
    await file.close();
  });

  test(
    'where writes are to be durable the system is told so, and a failed one counts as a failed sync',
    onLinux,
    async () => {
      const root = newFolder();
      const disk = await openNodeDisk(root);
      for (const durableWrites of [false, true]) {
        const file = await disk.open('a', 'create', { durableWrites });
        assert.equal(file.writesAreDurable, durableWrites);
        assert.equal((flagsOf(join(realpathSync(root), 'a')) & constants.O_DSYNC) !== 0, durableWrites);
        await file.close();
      }
      // Of a memory that is read-only by its opening every write fails.
      const fd = openSync(join(root, 'a'), constants.O_RDONLY | constants.O_DSYNC);
      const file = new NodeFile('a', fd, { readBytesMax: 10, writesAreDurable: true });
      await assert.rejects(file.write([bytes(1)], 0), { code: 'STORAGE_FAILED', message: /cannot write a: EBADF/ });
      await assert.rejects(file.write([bytes(1)], 0), {
        code: 'STORAGE_FAILED',
        message: /an earlier sync of it failed/,
      });
      await file.close();
    },
  );

  test('a full disk is no failed sync', onLinux, async () => {
    const file = new NodeFile('full', openSync('/dev/full', 'r+'), { readBytesMax: 10, writesAreDurable: true });
    for (let i = 0; i < 2; i++) await assert.rejects(file.write([bytes(1)], 0), { code: 'DISK_FULL' });
    await file.close();
  });

  test('close waits for what runs, refuses what comes later, and may be called again', async () => {
    const disk = await openNodeDisk(newFolder());
    const file = await disk.open('a', 'create');
    const large = new Uint8Array(4 * 1024 * 1024).fill(7);
    const writes = Promise.all([0, 1, 2, 3].map((index) => file.write([large], index * large.length)));
    const closed = file.close();
    await assert.rejects(file.write([bytes(1)], 0), { code: 'STORAGE_FAILED', message: /the file is closed/ });
    await Promise.all([writes, closed, file.close()]);
    assert.equal((await disk.readFile('a'))?.length, 4 * large.length);
  });

  test('what a short write leaves is exactly the rest', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 9 }), { maxLength: 9 }), fc.nat(), (buffers, seed) => {
        const whole = Buffer.concat(buffers);
        const count = whole.length === 0 ? 0 : seed % (whole.length + 1);
        assert.deepEqual(Buffer.concat(skipBytes(buffers, count)), whole.subarray(count));
      }),
    );
  });
});

/** Those with which this process holds the file open, as the system has them. */
function flagsOf(path: string): number {
  const fd = readdirSync('/proc/self/fd').find((number) => {
    try {
      return readlinkSync(`/proc/self/fd/${number}`) === path;
    } catch {
      return false; // The one that reads the folder is closed by now.
    }
  });
  const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
  return Number.parseInt(flags ?? '0', 8);
}
