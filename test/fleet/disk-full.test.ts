/**
 * A full disk on a broker: appends fail with DISK_FULL and leave no trace, what was acknowledged can be read, and once there is
 * room again the partition takes writes. Needs a small file system of its own: a tmpfs, which only root may mount.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { isDomainError } from '@fleetmq/shared';
import { startTestFleet, type TestFleet } from '@fleetmq/testkit';
import { waitFor } from './wait.ts';

const topic = 'full';
const recordBytes = 64 * 1024;
const sizeMb = 24;

function mountSmallDisk(): { folder: string; unmount: () => void } | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'fleetmq-full-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMb}m`, 'tmpfs', folder], { stdio: 'ignore' });
  } catch {
    // Not root, or no mount here: the suite says that it was skipped.
    rmSync(folder, { recursive: true });
    return undefined;
  }
  const unmount = (): void => {
    execFileSync('umount', ['-l', folder]);
    rmSync(folder, { recursive: true });
  };
  return { folder, unmount };
}

const disk = mountSmallDisk();

describe('a full disk', { skip: disk === undefined ? 'a tmpfs cannot be mounted here' : false }, () => {
  const root = disk?.folder ?? '';
  const ballast = join(root, 'ballast');
  let fleet: TestFleet;

  before(async () => {
    mkdirSync(join(root, 'broker'));
    writeFileSync(ballast, new Uint8Array(12 * 2 ** 20));
    fleet = await startTestFleet({
      controllers: 1,
      brokers: 1,
      flags: { broker: [`--data.folder=${join(root, 'broker')}`] },
    });
    await fleet.client.admin.createTopic(topic, { partitions: 1, replicationFactor: 1 });
  });

  after(async () => {
    await fleet?.[Symbol.asyncDispose]();
    disk?.unmount();
  });

  const readAll = async (): Promise<number[]> => {
    const numbers: number[] = [];
    for await (const record of fleet.client.consumer({ topic, from: 'earliest', until: 'end' })) {
      const value = record.valueBytes;
      assert.equal(value?.length, recordBytes);
      numbers.push(new DataView(value.buffer, value.byteOffset).getUint32(0));
    }
    return numbers;
  };

  test('fails appends, keeps what was acknowledged, and recovers', async () => {
    const acknowledged: number[] = [];
    let next = 0;
    const send = async (): Promise<void> => {
      // One attempt per record: retries would hide the error.
      await using producer = fleet.client.producer({ deliveryTimeoutMs: 2000, requestTimeoutMs: 1500 });
      const number = next++;
      const value = new Uint8Array(recordBytes);
      new DataView(value.buffer).setUint32(0, number);
      await producer.send(topic, value);
      acknowledged.push(number);
    };
    let failure: unknown;
    while (failure === undefined && next < 1000) {
      await send().catch((error: unknown) => {
        failure = error;
      });
    }
    assert.ok(isDomainError(failure), `${failure}`);
    assert.equal(failure.code, 'DISK_FULL', failure.message);
    assert.ok(acknowledged.length > 50, `${acknowledged.length} records fitted`);
    const read = await readAll();
    assert.deepEqual(read, acknowledged, 'exactly what was acknowledged can be read while the disk is full');
    rmSync(ballast);
    await waitFor('writes after there is room again', () => send().then(() => true), 20_000);
    const after = await readAll();
    assert.deepEqual(after.slice(0, read.length), read);
    assert.equal(after.at(-1), acknowledged.at(-1));
  });
});
