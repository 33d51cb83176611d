import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type DataFolderOptions, openDataFolder } from './data-folder.ts';

const base = await mkdtemp(join(tmpdir(), 'fleetmq-data-folder-'));
after(() => rm(base, { recursive: true, force: true }));
let folders = 0;
const newPath = (): string => join(base, `${++folders}`);
const broker1 = (path: string, more: Partial<DataFolderOptions> = {}): DataFolderOptions => ({
  path,
  role: 'broker',
  nodeId: 1,
  lockWaitMs: 0,
  ...more,
});

describe('whose folder it is', () => {
  test('a new folder gets a disk id, which it keeps', async () => {
    const path = newPath();
    const first = await openDataFolder(broker1(path));
    assert.equal(first.fresh, true);
    assert.match(first.diskId, /^[0-9a-f]{32}$/);
    assert.equal(first.clusterId, undefined);
    await first[Symbol.asyncDispose]();
    await using second = await openDataFolder(broker1(path));
    assert.equal(second.fresh, false);
    assert.equal(second.diskId, first.diskId);
    await using other = await openDataFolder(broker1(newPath()));
    assert.notEqual(other.diskId, first.diskId);
  });

  test('another node, role or cluster is refused', async () => {
    const path = newPath();
    await (await openDataFolder(broker1(path, { clusterId: 'c1' })))[Symbol.asyncDispose]();
    const cases: readonly [Partial<DataFolderOptions>, RegExp][] = [
      [{ nodeId: 2 }, /belongs to broker 1, this is broker 2/],
      [{ role: 'controller' }, /belongs to broker 1, this is controller 1/],
      [{ clusterId: 'c2' }, /belongs to cluster c1, this is cluster c2/],
    ];
    for (const [more, message] of cases) {
      await assert.rejects(openDataFolder(broker1(path, more)), { code: 'WRONG_CLUSTER', message });
    }
    await using mine = await openDataFolder(broker1(path, { clusterId: 'c1' }));
    assert.equal(mine.clusterId, 'c1');
  });

  test('is bound to a cluster once, for good', async () => {
    const path = newPath();
    const first = await openDataFolder(broker1(path));
    await first.bindCluster('c1');
    await first.bindCluster('c1');
    await assert.rejects(first.bindCluster('c2'), { code: 'WRONG_CLUSTER' });
    assert.equal(first.clusterId, 'c1');
    await first[Symbol.asyncDispose]();
    await using second = await openDataFolder(broker1(path));
    assert.equal(second.clusterId, 'c1');
    assert.equal(second.diskId, first.diskId);
    await assert.rejects(second.bindCluster('c2'), { code: 'WRONG_CLUSTER' });
  });

  test('foreign files are no empty disk', async () => {
    const path = newPath();
    await mkdir(path);
    await mkdir(join(path, 'lost+found'));
    await writeFile(join(path, 'photo.jpg'), '');
    await assert.rejects(openDataFolder(broker1(path)), {
      code: 'INVALID_CONFIG',
      message: /holds files \(photo\.jpg\), but no meta\.json/,
    });
    await rm(join(path, 'photo.jpg'));
    await using opened = await openDataFolder(broker1(path));
    assert.equal(opened.fresh, true);
  });

  test('every flipped byte of the meta is noticed', async () => {
    const path = newPath();
    await (await openDataFolder(broker1(path, { clusterId: 'c1' })))[Symbol.asyncDispose]();
    const metaPath = join(path, 'meta.json');
    const good = await readFile(metaPath);
    const noticed: number[] = [];
    for (let at = 0; at < good.length; at++) {
      const bad = Buffer.from(good);
      bad[at] = (bad[at] as number) ^ 0x04;
      if (/^\s*$/.test(String.fromCharCode(good[at] as number))) continue;
      await writeFile(metaPath, bad);
      await assert.rejects(openDataFolder(broker1(path)), { code: 'CORRUPT_LOG', message: /is damaged/ }, `byte ${at}`);
      noticed.push(at);
    }
    assert.ok(noticed.length > 50);
    await writeFile(metaPath, good);
    await (await openDataFolder(broker1(path)))[Symbol.asyncDispose]();
  });

  test('what a newer version wrote is refused', async () => {
    const path = newPath();
    await mkdir(path);
    // The checksum is CRC-32 of the other members, as in the file.
    const meta = { format: 2, role: 'broker', nodeId: 1, diskId: '0', clusterId: '' };
    const { crc32 } = await import('node:zlib');
    const checksum = crc32(JSON.stringify(meta)).toString(16).padStart(8, '0');
    await writeFile(join(path, 'meta.json'), JSON.stringify({ ...meta, checksum }));
    await assert.rejects(openDataFolder(broker1(path)), { code: 'UNSUPPORTED_VERSION', message: /has format 2/ });
  });
});

describe('who uses it', () => {
  test('one opening at a time in one process', async () => {
    const path = newPath();
    const first = await openDataFolder(broker1(path));
    await assert.rejects(openDataFolder(broker1(path)), {
      code: 'NOT_AVAILABLE',
      message: new RegExp(`in use by process ${process.pid} \\(since 20`),
    });
    await first[Symbol.asyncDispose]();
    await (await openDataFolder(broker1(path)))[Symbol.asyncDispose]();
  });

  test('waits for one that is about to let go', async () => {
    const path = newPath();
    const first = await openDataFolder(broker1(path));
    const second = openDataFolder(broker1(path, { lockWaitMs: 10_000 }));
    await first[Symbol.asyncDispose]();
    await (await second)[Symbol.asyncDispose]();
  });

  test('a refused opening holds nothing', async () => {
    const path = newPath();
    await (await openDataFolder(broker1(path)))[Symbol.asyncDispose]();
    await assert.rejects(openDataFolder(broker1(path, { nodeId: 2 })), { code: 'WRONG_CLUSTER' });
    await (await openDataFolder(broker1(path)))[Symbol.asyncDispose]();
  });

  test('another process is kept out until it is killed, even by SIGKILL', async () => {
    const path = newPath();
    const module = fileURLToPath(new URL('./data-folder.ts', import.meta.url));
    const program = `
      const { openDataFolder } = await import(${JSON.stringify(module)});
      globalThis.folder = await openDataFolder({ path: ${JSON.stringify(path)}, role: 'broker', nodeId: 1 });
      process.stdout.write('locked');
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    try {
      await new Promise((resolve) => child.stdout.once('data', resolve));
      await assert.rejects(openDataFolder(broker1(path)), {
        code: 'NOT_AVAILABLE',
        message: new RegExp(`in use by process ${child.pid} `),
      });
    } finally {
      child.kill('SIGKILL');
      await ended;
    }
    await using opened = await openDataFolder(broker1(path));
    assert.equal(opened.fresh, false);
  });
});
