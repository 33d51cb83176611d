import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BenchCase } from './bench-case.ts';
import type { CaseResult } from './matrix.ts';
import type { RunFigures } from './run.ts';
import { ratioOf, summarise } from './summary.ts';
import { plainWorkload } from './workload.ts';

const throughput = { kind: 'throughput', cold: false } as const;

function caseOf(name: string, measure: BenchCase['measure'] = throughput): BenchCase {
  const baseline = 'bare';
  return { name, section: '', title: '', target: name, entrance: 'direct', workload: plainWorkload, measure, baseline };
}

function resultOf(bench: BenchCase, runs: readonly RunFigures[]): CaseResult {
  return { bench, version: '1', durability: '', driver: 'fleetmq', count: 10, runs, problem: undefined };
}

function runOf(perSecond: number, others = 0): RunFigures {
  const produce = { perSecond, serverUs: 1, clientUs: 1, others, steal: 0 };
  return { phases: { produce }, latenciesUs: [], peakMb: perSecond };
}

test('ratios are those of runs of the same round, not of medians', () => {
  assert.deepEqual(ratioOf([50, 10, 30], [100, 10, 10]), { median: 1, min: 0.5, max: 3 });
});

test('a round that only one of the two has does not count; without any there is no ratio', () => {
  assert.deepEqual(ratioOf([50, 10], [100]), { median: 0.5, min: 0.5, max: 0.5 });
  assert.equal(ratioOf([1], []), undefined);
  assert.equal(ratioOf(undefined, [1]), undefined);
});

test('a case is summed up with the ratio to its baseline, its highest peak and its worst disturbance', () => {
  const results = [
    resultOf(caseOf('bare'), [runOf(100), runOf(200)]),
    resultOf(caseOf('ours'), [runOf(50), runOf(150, 0.4)]),
  ];
  const ours = summarise(results)[1];
  assert.equal(ours?.peakMb, 150);
  assert.deepEqual(ours?.phases.produce, {
    perSecond: [50, 150],
    serverUs: 1,
    clientUs: 1,
    ratio: { median: 0.75, min: 0.5, max: 0.75 },
    others: 0.4,
    steal: 0,
    isDisturbed: true,
  });
});

test('quantiles of latency are over the records of all runs, in milliseconds', () => {
  const bench = caseOf('ours', { kind: 'latency', perSecond: 500 });
  const fast = { ...runOf(500), latenciesUs: Array.from({ length: 999 }, () => 1_000) };
  const slow = { ...runOf(500), latenciesUs: [50_000] };
  const [summary] = summarise([resultOf(bench, [fast, slow])]);
  assert.deepEqual(summary?.latency, {
    records: 1_000,
    p50: 1,
    p99: 1,
    p999: 50,
    max: 50,
    p99PerRun: [1, 50],
  });
});
