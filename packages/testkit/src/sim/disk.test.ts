import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MemoryDisk } from '@fleetmq/log/testing';
import { seededRandom } from '@fleetmq/shared';
import { type DiskState, diskAfterCrash, healthyDisk, SimDisk } from './disk.ts';
import { SimProcess } from './process.ts';
import { Scheduler } from './scheduler.ts';

const bytes = (length: number): Uint8Array => new Uint8Array(length).fill(7);

function open(state: DiskState = healthyDisk()) {
  const scheduler = new Scheduler();
  const process = new SimProcess({ name: 'p', time: scheduler.time });
  const memory = new MemoryDisk();
  const counters = { syncs: 0, failures: 0, full: 0 };
  const disk = new SimDisk({ memory, process, state, random: seededRandom(1), counters });
  /** Runs the work in virtual time. */
  const run = async (work: Promise<unknown>, forMs = 1_000): Promise<unknown> => {
    let outcome: unknown = 'pending';
    work.then(
      () => {
        outcome = 'done';
      },
      (error: unknown) => {
        outcome = (error as { code: string }).code;
      },
    );
    await scheduler.run(scheduler.time.nowMs + forMs, () => outcome !== 'pending');
    return outcome;
  };
  return { scheduler, process, memory, disk, counters, run };
}

describe('simulated disks', () => {
  test('a write waits for nothing, a sync takes time', async () => {
    const { disk, run, scheduler, counters } = open({ ...healthyDisk(), syncMs: 5, syncSpreadMs: 0 });
    const file = await disk.open('f', 'create');
    await file.write([bytes(3)], 0);
    assert.equal(scheduler.time.nowMs, 0);
    assert.equal(await run(file.sync()), 'done');
    assert.deepEqual([scheduler.time.nowMs, counters.syncs], [5, 1]);
  });

  test('a crash during a sync takes or tears what is not durable, a kill leaves it', async () => {
    const survivors = new Set<number>();
    for (let seed = 1; seed <= 20; seed++) {
      const { disk, run, process, memory } = open({ ...healthyDisk(), syncMs: 100 });
      const file = await disk.open('f', 'create');
      await run(disk.syncFolder(''));
      await file.write([bytes(2_048)], 0);
      assert.equal(await run(file.sync(), 50), 'pending');
      process.kill();
      const left = diskAfterCrash(memory, 'power-loss', seededRandom(seed), 0.5);
      survivors.add((left.peek('f') ?? bytes(0)).filter((byte) => byte === 7).length);
    }
    for (const length of survivors) assert.equal(length % 512, 0);
    assert.ok(survivors.size > 2, [...survivors].join());
    const { disk, memory, process } = open();
    await (await disk.open('f', 'create')).write([bytes(2_048)], 0);
    process.kill();
    assert.equal(diskAfterCrash(memory, 'kill', seededRandom(1), 0).peek('f')?.length, 2_048);
  });

  test('a name is as durable as its folder was made', async () => {
    const { disk, run, memory, process } = open();
    await run(disk.writeFileAtomic('kept', bytes(10)));
    const lost = await disk.open('lost', 'create');
    await lost.write([bytes(10)], 0);
    await run(lost.sync());
    process.kill();
    const left = diskAfterCrash(memory, 'power-loss', seededRandom(1), 0);
    assert.deepEqual(left.paths(), ['kept']);
  });

  test('a full one, a failing one, one that lies, and one whose process is dead', async () => {
    const state = healthyDisk();
    const { disk, run, memory, process, counters } = open(state);
    const file = await disk.open('f', 'create');
    state.freeBytes = 0;
    assert.equal(await run(file.write([bytes(1)], 0)), 'DISK_FULL');
    state.freeBytes = Number.POSITIVE_INFINITY;
    state.failureRate = 1;
    assert.equal(await run(file.sync()), 'STORAGE_FAILED');
    state.failureRate = 0;
    state.liesAbout = (path) => path === 'f';
    await run(disk.syncFolder(''));
    await file.write([bytes(1)], 0);
    assert.equal(await run(file.sync()), 'done');
    process.kill();
    assert.equal(await run(disk.readFile('f')), 'pending');
    assert.equal(diskAfterCrash(memory, 'power-loss', seededRandom(1), 0).peek('f')?.length, 0);
    assert.deepEqual([counters.full, counters.failures], [1, 1]);
  });
});
