import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { supportedFeatures } from '@fleetmq/metadata';
import { type NodeFeatures, planFeatures, reportFeatures } from './feature-levels.ts';

const name = 'metadata.version';
const own = supportedFeatures.get(name) ?? 1;
const knows = (node: string, level: number): NodeFeatures => ({ node, features: new Map([[name, level]]) });
const all = [knows('controller 1', own), knows('broker 1', own)];
const report = (nodes: readonly NodeFeatures[], inUse = 1) =>
  reportFeatures(new Map([[name, inUse]]), nodes).find((each) => each.name === name);

describe('levels that can come into use', () => {
  test('are those that every node knows; who stands in the way is named', () => {
    assert.deepEqual([report(all)?.supportedLevel, report(all)?.limitedBy, report(all)?.level], [own, [], 1]);
    const old = [...all, knows('broker 2', 1), { node: 'broker 3', features: new Map() }];
    assert.deepEqual([report(old)?.supportedLevel, report(old)?.limitedBy], [1, ['broker 2', 'broker 3']]);
    const silent = [...all, { node: 'controller 2', features: undefined }];
    assert.deepEqual(
      [report(silent)?.supportedLevel, report(silent)?.limitedBy],
      [0, ['controller 2 (does not answer)']],
    );
  });

  test('a newer node than this one does not count for more', () => {
    assert.equal(report([...all, knows('broker 2', own + 1)])?.supportedLevel, own);
  });

  test('the highest is taken unless one is named; what cannot be is refused with the reason', () => {
    const reports = (nodes: readonly NodeFeatures[], inUse = 1) => reportFeatures(new Map([[name, inUse]]), nodes);
    assert.deepEqual(planFeatures(reports(all), new Map()).levels, new Map([[name, own]]));
    assert.deepEqual(planFeatures(reports(all), new Map([[name, 1]])).levels, new Map([[name, 1]]));
    const cases: readonly (readonly [readonly NodeFeatures[], number, ReadonlyMap<string, number>, string, RegExp])[] =
      [
        [all, 1, new Map([['none', 1]]), 'INVALID_REQUEST', /no feature "none": metadata.version/],
        [all, 2, new Map([[name, 1]]), 'INVALID_REQUEST', /levels only rise/],
        [
          [...all, knows('broker 2', 1)],
          1,
          new Map([[name, 2]]),
          'UNSUPPORTED_VERSION',
          /not to 2, because of broker 2/,
        ],
        [all, 1, new Map([[name, own + 1]]), 'UNSUPPORTED_VERSION', /can rise to/],
        [
          [{ node: 'controller 2', features: undefined }],
          1,
          new Map(),
          'NOT_AVAILABLE',
          /controller 2 \(does not answer\)/,
        ],
      ];
    for (const [nodes, inUse, wanted, code, message] of cases) {
      assert.throws(() => planFeatures(reports(nodes, inUse), wanted), { code, message });
    }
  });
});
