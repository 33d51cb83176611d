import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge } from './ratio-check.ts';

const baseline = { at: 'then', machine: 'there', node: 'v24', ratios: { 'produce 1k': 0.4, 'consume 1k': 0.8 } };

function isGood(max: number): boolean | undefined {
  const ratios = { 'produce 1k': { median: 0.1, min: 0.01, max } };
  return judge(baseline, ratios).find(({ name }) => name === 'produce 1k')?.isGood;
}

test('a best round of three quarters of the committed ratio will do, less is a fall', () => {
  for (const [max, verdict] of [
    [0.5, true],
    [0.4, true],
    [0.3001, true],
    [0.2999, false],
    [0, false],
    [Number.NaN, false],
  ] as const) {
    assert.equal(isGood(max), verdict, `${max}`);
  }
});

test('what was not measured has not passed', () => {
  const verdicts = judge(baseline, { 'produce 1k': { median: 0.4, min: 0.4, max: 0.4 } });
  assert.deepEqual(
    verdicts.map(({ name, isGood }) => [name, isGood]),
    [
      ['produce 1k', true],
      ['consume 1k', false],
    ],
  );
});

test('a figure that is not committed is not judged', () => {
  const verdicts = judge({ ...baseline, ratios: {} }, { 'produce 1k': { median: 0.1, min: 0.1, max: 0.1 } });
  assert.deepEqual(verdicts, []);
});
