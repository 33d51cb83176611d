import assert from 'node:assert/strict';
import { test } from 'node:test';
import { selectCases } from './bench-case.ts';
import { dataSuite } from './data-path.ts';
import { peersSuite } from './peers/suite.ts';

const data = dataSuite.stages.flatMap(({ cases }) => cases);
const names = (only: readonly string[]): string[] => selectCases(data, only).map(({ name }) => name);

test('nothing named selects all', () => {
  assert.equal(names([]).length, data.length);
});

test('a name selects its case and the one that it is divided by, in the order of the suite', () => {
  assert.deepEqual(names(['1k']), ['bare-1k-r1', '1k']);
  assert.deepEqual(names(['json-zstd', '100b']), ['bare-1k-r1', 'bare-100b-r1', '100b', 'json-zstd'].sort(byOrder));
});

test('part of a name selects all that contain it', () => {
  assert.deepEqual(names(['json-']), ['bare-1k-r1', 'json-none', 'json-lz4', 'json-zstd', 'json-snappy']);
});

test('what selects nothing is refused, with the names that there are', () => {
  assert.throws(() => names(['1k', '2k']), /no case is named "2k": bare-100b-r1, /);
});

for (const { name, stages } of [dataSuite, peersSuite]) {
  test(`cases of the suite ${name} have names of their own, targets that are there, and baselines in their stage`, () => {
    const all = stages.flatMap(({ cases }) => cases.map((each) => each.name));
    assert.equal(new Set(all).size, all.length);
    for (const { cases, targets } of stages) {
      const own = new Set(cases.map((each) => each.name));
      for (const { target, baseline, name: of } of cases) {
        assert.ok(target in targets, `${of}: ${target}`);
        assert.ok(baseline === undefined || own.has(baseline), `${of}: ${baseline}`);
      }
    }
  });
}

function byOrder(one: string, other: string): number {
  const at = (wanted: string): number => data.findIndex(({ name }) => name === wanted);
  return at(one) - at(other);
}
