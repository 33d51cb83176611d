import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Disk, DomainError } from '@fleetmq/shared';
import { openNodeDisk } from '@fleetmq/shared/runtime';
import { MemoryDisk } from './memory-disk.ts';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const plain = (found: Uint8Array | undefined): number[] | undefined => (found === undefined ? undefined : [...found]);

/** What the port promises, whoever implements it. */
function conformance(name: string, run: (check: (disk: Disk) => Promise<void>) => Promise<void>): void {
  const port = (what: string, check: (disk: Disk) => Promise<void>): void => {
    test(`${name}: ${what}`, () => run(check));
  };

  port('files are written at positions, read with short ends, cut and measured', async (disk) => {
    await disk.makeFolder('a/b');
    const file = await disk.open('a/b/f', 'create');
    await file.write([bytes(1, 2), bytes(), bytes(3)], 0);
    await file.write([bytes(9)], 5);
    assert.equal(await file.size(), 6);
    assert.deepEqual(plain(await file.read(1, 100)), [2, 3, 0, 0, 9]);
    assert.deepEqual(plain(await file.read(6, 4)), []);
    await file.truncate(2);
    await file.preallocate(4096);
    assert.equal(await file.size(), 2);
    await file.sync();
    await file.close();
    assert.deepEqual(plain(await disk.readFile('a/b/f')), [1, 2]);
    const again = await disk.open('a/b/f', 'read-write');
    await again.write([bytes(7)], 1);
    assert.deepEqual(plain(await again.read(0, 9)), [1, 7]);
    await again.close();
    await assert.rejects(disk.open('a/b/absent', 'read-write'), { code: 'STORAGE_FAILED' });
  });

  port(
    'folders list their children sorted; absent ones are empty; removal takes all, and twice is no error',
    async (disk) => {
      assert.deepEqual(await disk.list('none'), []);
      await disk.makeFolder('x/y');
      await disk.makeFolder('x/y');
      await disk.writeFileAtomic('x/b', bytes(1));
      await disk.writeFileAtomic('x/a', bytes(2));
      await disk.writeFileAtomic('x/y/c', bytes(3));
      assert.deepEqual(await disk.list('x'), ['a', 'b', 'y']);
      await disk.rename('x/a', 'x/z');
      assert.deepEqual(await disk.list('x'), ['b', 'y', 'z']);
      await disk.rename('x/z', 'x/b');
      assert.deepEqual(plain(await disk.readFile('x/b')), [2]);
      await disk.remove('x/y');
      await disk.remove('x/y');
      await disk.remove('x/b');
      await disk.syncFolder('x');
      assert.deepEqual(await disk.list('x'), []);
      assert.equal(await disk.readFile('x/b'), undefined);
    },
  );

  port('an atomic write replaces the file whole, and leaves no other name', async (disk) => {
    await disk.makeFolder('f');
    await disk.writeFileAtomic('f/a', bytes(1, 2, 3));
    await disk.writeFileAtomic('f/a', bytes(4));
    assert.deepEqual(plain(await disk.readFile('f/a')), [4]);
    assert.deepEqual(await disk.list('f'), ['a']);
    assert.ok((await disk.freeBytes()) >= 0);
  });

  port('an open file outlives its name', async (disk) => {
    await disk.makeFolder('f');
    const file = await disk.open('f/a', 'create');
    await file.write([bytes(5)], 0);
    await disk.remove('f/a');
    assert.deepEqual(plain(await file.read(0, 1)), [5]);
    await file.close();
  });
}

conformance('memory disk', (check) => check(new MemoryDisk()));

conformance('node disk', async (check) => {
  const root = await mkdtemp(join(tmpdir(), 'fleetmq-disk-'));
  try {
    await check(await openNodeDisk(root));
  } finally {
    await rm(root, { recursive: true });
  }
});

test('power loss keeps what was synced, and of the rest what the choice says', async () => {
  const disk = new MemoryDisk();
  await disk.makeFolder('f');
  const file = await disk.open('f/a', 'create');
  await file.write([new Uint8Array(1000).fill(1)], 0);
  await file.sync();
  await disk.syncFolder('f');
  await file.write([new Uint8Array(1500).fill(2)], 1000);
  const lost = await disk.afterPowerLoss(() => false).readFile('f/a');
  assert.deepEqual(plain(lost), new Array(1000).fill(1));
  const all = await disk.afterPowerLoss(() => true).readFile('f/a');
  assert.equal(all?.filter((byte) => byte === 2).length, 1500);
  // Pieces are aligned: 24 bytes to 1024, then 512, 512, 452; the second is lost and reads as zeros.
  let piece = 0;
  const some = await disk.afterPowerLoss(({ what }) => what !== 'data' || ++piece !== 2).readFile('f/a');
  assert.equal(some?.length, 2500);
  assert.deepEqual([some?.[1023], some?.[1024], some?.[1535], some?.[1536]], [2, 0, 0, 2]);
  await assert.rejects(file.read(0, 1), { code: 'STORAGE_FAILED' });
  await assert.rejects(disk.list('f'), { code: 'STORAGE_FAILED' });
});

test('names are durable only after a sync of their folder', async () => {
  const disk = new MemoryDisk();
  await disk.makeFolder('f');
  const file = await disk.open('f/new', 'create');
  await file.write([bytes(1)], 0);
  await file.sync();
  assert.deepEqual(disk.afterPowerLoss(() => false).paths(), []);
  assert.deepEqual(disk.afterPowerLoss(() => true).paths(), ['f/new']);
});

test('an atomic write is old or new after a crash at each of its operations', async () => {
  for (let operations = 0; operations < 9; operations++) {
    for (const survives of [() => true, () => false]) {
      const disk = new MemoryDisk();
      await disk.makeFolder('f');
      await disk.writeFileAtomic('f/a', bytes(1));
      let left = operations;
      disk.intercept = () => {
        if (left-- > 0) return undefined;
        disk.powerOff();
        return { error: new DomainError('STORAGE_FAILED', 'off') };
      };
      const done = await disk.writeFileAtomic('f/a', bytes(2)).then(
        () => true,
        () => false,
      );
      const found = (await disk.afterPowerLoss(survives).readFile('f/a'))?.[0];
      assert.ok(found === 2 || (found === 1 && !done), `${operations}: ${found}`);
    }
  }
});

test('a killed process leaves everything written, and nothing more durable', async () => {
  const disk = new MemoryDisk();
  await disk.makeFolder('f');
  const file = await disk.open('f/a', 'create');
  await file.write([bytes(1, 2)], 0);
  const next = disk.afterKill();
  await assert.rejects(file.sync(), { code: 'STORAGE_FAILED' });
  assert.deepEqual(plain(await next.readFile('f/a')), [1, 2]);
  const reopened = await next.open('f/a', 'read-write');
  await reopened.sync();
  await next.syncFolder('f');
  assert.deepEqual(plain(await next.afterPowerLoss(() => false).readFile('f/a')), [1, 2]);
});

test('a full disk writes what fits, then says so', async () => {
  const disk = new MemoryDisk({ capacityBytes: 10 });
  await disk.makeFolder('f');
  const file = await disk.open('f/a', 'create');
  await file.write([new Uint8Array(8)], 0);
  await assert.rejects(file.write([bytes(1, 2, 3, 4)], 8), { code: 'DISK_FULL' });
  assert.equal(await file.size(), 10);
  await file.write([bytes(9)], 3);
  await file.truncate(2);
  assert.equal(await disk.freeBytes(), 8);
});
