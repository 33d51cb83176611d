import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DomainError, silentLogger } from '@fleetmq/shared';
import { nodeTimers } from '@fleetmq/shared/runtime';
import { DiskReserve } from './disk-reserve.ts';

test('below the reserve commands are refused and the leadership is handed over, now and then again, until there is room', async () => {
  let freeBytes = 2_000;
  let handOvers = 0;
  let willFail = false;
  using reserve = new DiskReserve({
    disk: { freeBytes: async () => freeBytes },
    timers: nodeTimers,
    logger: silentLogger,
    reserveBytes: 1_000,
    checkMs: 3_600_000,
    handOver: async () => {
      handOvers++;
      if (willFail) throw new DomainError('NOT_ENOUGH_REPLICAS', 'nobody is there');
    },
  });
  await reserve.check();
  assert.deepEqual([reserve.refusal(), handOvers], [undefined, 0]);
  freeBytes = 999;
  await reserve.check();
  assert.deepEqual([reserve.refusal()?.code, handOvers], ['DISK_FULL', 1]);
  willFail = true;
  for (let check = 0; check < 5; check++) await reserve.check();
  assert.equal(handOvers, 2);
  freeBytes = 1_000;
  await reserve.check();
  assert.equal(reserve.refusal(), undefined);
  freeBytes = 0;
  await reserve.check();
  assert.equal(handOvers, 3);
});
