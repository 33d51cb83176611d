/**
 * What every implementation of the Disk port keeps, as tests: call `diskSuite` in a test file with a factory that makes an
 * empty disk. It holds the port's contract alone; crash behaviour is tested where faults can be caused.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Disk } from '@fleetmq/shared';

const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values);
const isStorageFailure = { name: 'DomainError', code: 'STORAGE_FAILED' };

/** `createDisk` makes an empty disk for each test; the caller removes what it has made. */
export function diskSuite(name: string, createDisk: () => Promise<Disk>): void {
  describe(`${name} keeps the Disk port: files`, () => fileTests(createDisk));
  describe(`${name} keeps the Disk port: folders`, () => folderTests(createDisk));
  describe(`${name} keeps the Disk port: whole files`, () => wholeFileTests(createDisk));
}

function fileTests(createDisk: () => Promise<Disk>): void {
  test('reads what was written, from any position', async () => {
    const file = await (await createDisk()).open('a', 'create');
    await file.write([bytes(1, 2, 3, 4, 5)], 0);
    assert.deepEqual(await file.read(0, 5), bytes(1, 2, 3, 4, 5));
    assert.deepEqual(await file.read(1, 3), bytes(2, 3, 4));
    assert.equal(await file.size(), 5);
    await file.close();
  });

  test('writes many buffers as one run of bytes', async () => {
    const file = await (await createDisk()).open('a', 'create');
    const parts = Array.from({ length: 3000 }, (_, index) => bytes(index & 0xff, index >> 8));
    await file.write([bytes(), ...parts, bytes()], 0);
    const all = await file.read(0, 10_000);
    assert.equal(all.length, 6000);
    assert.deepEqual(all.subarray(5998), bytes(2999 & 0xff, 2999 >> 8));
    await file.close();
  });

  test('writes nothing when there is nothing to write', async () => {
    const file = await (await createDisk()).open('a', 'create');
    await file.write([], 0);
    await file.write([bytes()], 0);
    assert.equal(await file.size(), 0);
    await file.close();
  });

  test('overwrites in place, and appends at the end', async () => {
    const file = await (await createDisk()).open('a', 'create');
    await file.write([bytes(1, 2, 3)], 0);
    await file.write([bytes(9)], 1);
    await file.write([bytes(4)], 3);
    assert.deepEqual(await file.read(0, 10), bytes(1, 9, 3, 4));
    await file.close();
  });

  test('reads less only at the end of the file', async () => {
    const file = await (await createDisk()).open('a', 'create');
    await file.write([bytes(1, 2, 3)], 0);
    assert.deepEqual(await file.read(2, 5), bytes(3));
    assert.deepEqual(await file.read(3, 5), bytes());
    assert.deepEqual(await file.read(99, 5), bytes());
    assert.deepEqual(await file.read(0, 0), bytes());
    await file.close();
  });

  test('hands out reads that later writes do not change', async () => {
    const file = await (await createDisk()).open('a', 'create');
    await file.write([bytes(1, 2)], 0);
    const before = await file.read(0, 2);
    await file.write([bytes(8, 9)], 0);
    assert.deepEqual(before, bytes(1, 2));
    before[0] = 77;
    assert.deepEqual(await file.read(0, 2), bytes(8, 9));
    await file.close();
  });

  test('keeps a copy of what it was given', async () => {
    const file = await (await createDisk()).open('a', 'create');
    const source = bytes(1, 2);
    await file.write([source], 0);
    source[0] = 77;
    assert.deepEqual(await file.read(0, 2), bytes(1, 2));
    await file.close();
  });

  test('truncates, and goes on from there', async () => {
    const file = await (await createDisk()).open('a', 'create');
    await file.write([bytes(1, 2, 3, 4)], 0);
    await file.truncate(2);
    assert.equal(await file.size(), 2);
    await file.write([bytes(7)], 2);
    await file.sync();
    assert.deepEqual(await file.read(0, 10), bytes(1, 2, 7));
    await file.close();
  });

  test('preallocation leaves the size and the content alone', async () => {
    const file = await (await createDisk()).open('a', 'create');
    await file.write([bytes(1)], 0);
    await file.preallocate(65_536);
    assert.equal(await file.size(), 1);
    assert.deepEqual(await file.read(0, 10), bytes(1));
    await file.close();
  });

  test('opens again what was closed; create keeps the content', async () => {
    const disk = await createDisk();
    const first = await disk.open('a', 'create');
    await first.write([bytes(1, 2)], 0);
    await first.sync();
    await first.close();
    for (const mode of ['read', 'read-write', 'create'] as const) {
      const again = await disk.open('a', mode);
      assert.equal(again.path, 'a');
      assert.deepEqual(await again.read(0, 9), bytes(1, 2), mode);
      await again.close();
    }
  });

  test('two openings of one file see the same bytes', async () => {
    const disk = await createDisk();
    const writer = await disk.open('a', 'create');
    const reader = await disk.open('a', 'read');
    await writer.write([bytes(1, 2)], 0);
    assert.deepEqual(await reader.read(0, 9), bytes(1, 2));
    await Promise.all([writer.close(), reader.close()]);
  });

  test('refuses to open what is absent, to write what is open for reading, and to use what is closed', async () => {
    const disk = await createDisk();
    await assert.rejects(disk.open('absent', 'read'), isStorageFailure);
    await assert.rejects(disk.open('absent', 'read-write'), isStorageFailure);
    await (await disk.open('a', 'create')).close();
    const file = await disk.open('a', 'read');
    await assert.rejects(file.write([bytes(1)], 0), isStorageFailure);
    await file.close();
    await assert.rejects(file.read(0, 1), isStorageFailure);
    await assert.rejects(file.size(), isStorageFailure);
  });
}

function folderTests(createDisk: () => Promise<Disk>): void {
  test('lists names sorted; an absent folder is empty', async () => {
    const disk = await createDisk();
    assert.deepEqual(await disk.list('absent'), []);
    await disk.makeFolder('deep/er');
    for (const name of ['b', 'a', 'c-10', 'c-9']) await (await disk.open(`deep/${name}`, 'create')).close();
    await disk.syncFolder('deep');
    assert.deepEqual(await disk.list('deep'), ['a', 'b', 'c-10', 'c-9', 'er']);
    assert.deepEqual(await disk.list(''), ['deep']);
  });

  test('makes folders that are there already', async () => {
    const disk = await createDisk();
    await disk.makeFolder('deep/er');
    await disk.makeFolder('deep/er');
    await disk.makeFolder('deep');
    assert.deepEqual(await disk.list('deep'), ['er']);
  });

  test('renames files and folders; a file replaces a file', async () => {
    const disk = await createDisk();
    await disk.makeFolder('deep');
    await disk.writeFileAtomic('deep/a', bytes(1));
    await disk.writeFileAtomic('deep/b', bytes(2));
    await disk.rename('deep/a', 'deep/b');
    assert.deepEqual(await disk.list('deep'), ['b']);
    await disk.rename('deep', 'other');
    assert.deepEqual(await disk.readFile('other/b'), bytes(1));
    assert.deepEqual(await disk.list(''), ['other']);
    await assert.rejects(disk.rename('absent', 'other/c'), isStorageFailure);
  });

  test('an open file stays readable when its name changes or goes', async () => {
    const disk = await createDisk();
    const file = await disk.open('a', 'create');
    await file.write([bytes(1, 2)], 0);
    await disk.rename('a', 'b');
    assert.deepEqual(await file.read(0, 2), bytes(1, 2));
    await disk.remove('b');
    assert.deepEqual(await file.read(0, 2), bytes(1, 2));
    await file.close();
  });

  test('removes files, folders with all they hold, and what is absent', async () => {
    const disk = await createDisk();
    await disk.makeFolder('deep/er');
    await disk.writeFileAtomic('deep/er/a', bytes(1));
    await disk.writeFileAtomic('b', bytes(1));
    await disk.remove('deep');
    await disk.remove('b');
    await disk.remove('absent');
    assert.deepEqual(await disk.list(''), []);
  });

  test('refuses paths that leave the root', async () => {
    const disk = await createDisk();
    for (const path of ['..', '../a', 'a/../../b', '/etc/passwd', 'a//b', './a', 'a/', 'a/.', '']) {
      await assert.rejects(disk.open(path, 'create'), isStorageFailure, path);
      await assert.rejects(disk.writeFileAtomic(path, bytes(1)), isStorageFailure, path);
      await assert.rejects(disk.remove(path), isStorageFailure, path);
      await assert.rejects(disk.rename(path, 'b'), isStorageFailure, path);
    }
    assert.deepEqual(await disk.list(''), []);
  });

  test('knows its free space', async () => {
    const free = await (await createDisk()).freeBytes();
    assert.ok(Number.isFinite(free) && free > 0, `${free}`);
  });
}

function wholeFileTests(createDisk: () => Promise<Disk>): void {
  test('reads a file whole, or undefined', async () => {
    const disk = await createDisk();
    assert.equal(await disk.readFile('a'), undefined);
    assert.equal(await disk.readFile('absent/a'), undefined);
    await disk.writeFileAtomic('a', bytes());
    assert.deepEqual(await disk.readFile('a'), bytes());
  });

  test('replaces a file whole, shorter or longer', async () => {
    const disk = await createDisk();
    for (const content of [bytes(1, 2, 3), bytes(4), bytes(5, 6, 7, 8, 9)]) {
      await disk.writeFileAtomic('a', content);
      assert.deepEqual(await disk.readFile('a'), content);
    }
    assert.deepEqual(await disk.list(''), ['a'], 'no temporary file is left');
  });

  test('replacements of one file at the same time leave the last one', async () => {
    const disk = await createDisk();
    const contents = Array.from({ length: 20 }, (_, index) => new Uint8Array(1000 - index * 40).fill(index));
    await Promise.all(contents.map((content) => disk.writeFileAtomic('a', content)));
    assert.deepEqual(await disk.readFile('a'), contents[19]);
  });

  test('refuses to replace a file in a folder that is not there', async () => {
    const disk = await createDisk();
    await assert.rejects(disk.writeFileAtomic('absent/a', bytes(1)), isStorageFailure);
    await disk.makeFolder('absent');
    await disk.writeFileAtomic('absent/a', bytes(1));
    assert.deepEqual(await disk.readFile('absent/a'), bytes(1));
  });
}
