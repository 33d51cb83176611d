import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Counts } from '../counts.ts';
import { mutants } from '../mutants.ts';
import { controllersSeed, faultKinds } from '../seed.ts';
import { catchMutant } from './catch-mutant.ts';
import { runControllers } from './run.ts';

describe('simulation of the controllers', () => {
  test('30 seeds keep every invariant, show something, and are the same when they are run again', async () => {
    const counts = new Counts();
    const faultsMs = 12_000;
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    try {
      for (let seed = 1; seed <= 30; seed++) {
        const first = await runControllers({ seed, fixed: { faultsMs } });
        assert.equal(first.failure, undefined, `seed ${seed}: ${JSON.stringify(first.failure)}`);
        const second = await runControllers({ seed, fixed: { faultsMs } });
        assert.equal(second.traceHash, first.traceHash, `seed ${seed}`);
        counts.merge(first.counts);
      }
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
    const shown = ['snapshots installed', 'crash: kill', 'crash: power-loss', 'network: lost', 'network: duplicated'];
    for (const name of shown) assert.ok(counts.get(name) > 0, `no seed has shown "${name}"`);
  });

  test('the seeds have all faults between them, and each seed has some', () => {
    const faults = new Set<string>();
    for (let seed = 1; seed <= 100; seed++) {
      const drawn = controllersSeed(seed);
      assert.ok(drawn.faults.length > 0);
      for (const fault of drawn.faults) faults.add(fault);
    }
    assert.deepEqual([...faults].sort(), [...faultKinds].sort());
  });

  test('a planted bug is caught: a candidate that wins with too few votes', async () => {
    const canary = mutants.find(({ name }) => name === 'elected-by-one-less');
    assert.ok(canary !== undefined);
    const caught = await catchMutant(canary, { from: 1, seedsMax: 20, hasTime: () => true });
    assert.equal(caught?.failure?.kind, 'safety');
    // And it is gone afterwards.
    assert.equal((await runControllers({ seed: 1 })).failure, undefined);
  });
});
