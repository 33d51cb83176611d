import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Counts } from '../counts.ts';
import { fleetMutants } from '../mutants/fleet.ts';
import { catchFleetMutant } from './catch-mutant.ts';
import { runFleet } from './run.ts';
import { fleetFaultKinds, fleetSeed } from './seed.ts';

describe('simulation of a fleet', () => {
  test('seeds keep every invariant, show something, and are the same when they are run again', async () => {
    const counts = new Counts();
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    try {
      for (let seed = 1; seed <= 6; seed++) {
        const first = await runFleet({ seed, fixed: { faultsMs: 20_000 } });
        assert.equal(first.failure, undefined, `seed ${seed}: ${JSON.stringify(first.failure)}`);
        counts.merge(first.counts);
        if (seed > 3) continue;
        const second = await runFleet({ seed, fixed: { faultsMs: 20_000 } });
        assert.equal(second.traceHash, first.traceHash, `seed ${seed}`);
      }
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
    const shown = ['leaders elected', 'ISR shrinks', 'ISR expands', 'records acknowledged: all', 'records read'];
    for (const name of shown) assert.ok(counts.get(name) > 0, `no seed has shown "${name}"`);
  });

  test('the seeds have all faults between them, and each seed has some', () => {
    const faults = new Set<string>();
    for (let seed = 1; seed <= 100; seed++) {
      const { fleetFaults } = fleetSeed(seed);
      assert.ok(fleetFaults.length > 0);
      for (const fault of fleetFaults) faults.add(fault);
    }
    assert.deepEqual([...faults].sort(), [...fleetFaultKinds].sort());
  });

  test('a planted bug is caught: batches are acknowledged at once', async () => {
    const canary = fleetMutants.find(({ name }) => name === 'acknowledged-at-once');
    assert.ok(canary !== undefined);
    const caught = await catchFleetMutant(canary, { from: 1, seedsMax: 5, hasTime: () => true });
    assert.equal(caught?.failure?.kind, 'safety');
  });
});
