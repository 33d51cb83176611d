import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ClusterSummary, runCluster } from './testing/cluster.ts';

/** RAFT_SEEDS=FROM-TO runs other seeds. */
const [from = 1, to = 120] = (process.env['RAFT_SEEDS'] ?? '1-120').split('-').map(Number);

test(`random clusters keep Raft's promises, seeds ${from} to ${to}`, () => {
  const total: Record<keyof ClusterSummary, number> = {
    committed: 0,
    terms: 0,
    reads: 0,
    snapshots: 0,
    confChanges: 0,
    restarts: 0,
  };
  for (let seed = from; seed <= to; seed++) {
    let summary: ClusterSummary;
    try {
      summary = runCluster({ seed, nodes: 3 + (seed % 3), steps: 3000 });
    } catch (error) {
      throw new Error(`seed ${seed} failed; RAFT_SEEDS=${seed}-${seed} runs it alone`, { cause: error });
    }
    for (const key of Object.keys(total) as (keyof ClusterSummary)[]) total[key] += summary[key];
  }
  // The weather must not be so bad that nothing happens.
  if (to - from >= 100) for (const [what, count] of Object.entries(total)) assert.ok(count > 50, `${what}: ${count}`);
});
