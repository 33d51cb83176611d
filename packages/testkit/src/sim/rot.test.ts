import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MemoryDisk } from '@fleetmq/log/testing';
import { seededRandom } from '@fleetmq/shared';
import { chooseDamage, type DamageKind, damaged, reachOf } from './rot.ts';

describe('bit rot', () => {
  for (const kind of ['flip', 'zero', 'cut', 'lost'] as readonly DamageKind[]) {
    test(`${kind} touches what it says, and nothing else`, () => {
      const random = seededRandom(5);
      for (let round = 0; round < 200; round++) {
        const length = 1 + Math.floor(random.next() * 2_000);
        const before = new Uint8Array(length).fill(7);
        const damage = chooseDamage(kind, length, random);
        const { from, to } = reachOf(damage, length);
        assert.ok(from >= 0 && from <= to && to <= length, `${from} to ${to} of ${length}`);
        const after = damaged(before, damage);
        assert.ok(before.every((byte) => byte === 7));
        if (kind === 'lost') continue;
        for (let at = 0; at < length; at++) if (after[at] !== 7) assert.ok(at >= from && at < to, `${at}`);
        if (kind === 'flip') assert.notDeepEqual(after, before);
        if (kind === 'cut') assert.equal(after.length, from);
      }
    });
  }

  test('shows in what is durable and in what is read, also through a file that is open', async () => {
    const disk = new MemoryDisk();
    const file = await disk.open('f', 'create');
    await file.write([new Uint8Array(10)], 0);
    await file.sync();
    await disk.syncFolder('');
    disk.damage('f', (bytes) => damaged(bytes, { kind: 'flip', bits: [9] }));
    assert.equal((await file.read(1, 1))[0], 2);
    assert.equal(disk.peekDurable('f')?.[1], 2);
    assert.equal(disk.afterPowerLoss(() => false).peek('f')?.[1], 2);
    disk.lose('f');
    assert.deepEqual(disk.paths(), []);
  });
});
