import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isDomainError } from '@fleetmq/shared';
import { features, levelOf, requireLevel, supportedFeatures, unsupportedFeature, whatLevelBrings } from './index.ts';

describe('features', () => {
  test('every level above the first says what it brings', () => {
    for (const [name, { level }] of Object.entries(features)) {
      assert.equal(supportedFeatures.get(name), level);
      for (let next = 2; next <= level; next++) assert.notEqual(whatLevelBrings(name, next), '', `${name} ${next}`);
      assert.equal(whatLevelBrings(name, level + 1), '');
    }
    assert.equal(whatLevelBrings('no such feature', 2), '');
  });

  test('what nobody names is at level 1', () => {
    assert.equal(levelOf(new Map(), 'metadata.version'), 1);
    assert.equal(unsupportedFeature(new Map([['new.feature', 1]]), new Map()), undefined);
    assert.match(unsupportedFeature(new Map([['new.feature', 2]]), new Map()) ?? '', /level 2, and 1 is the highest/);
    assert.equal(unsupportedFeature(supportedFeatures, supportedFeatures), undefined);
  });

  test('what needs a level says so and says what to do', () => {
    const wanted = { name: 'metadata.version', level: 2, what: 'moving replicas' } as const;
    requireLevel(new Map([['metadata.version', 2]]), wanted);
    assert.throws(
      () => requireLevel(new Map(), wanted),
      (error) =>
        isDomainError(error) &&
        error.code === 'UNSUPPORTED_VERSION' &&
        /moving replicas needs metadata.version 2, and the cluster is at 1: run "fleetmq cluster upgrade"/.test(
          error.message,
        ),
    );
  });
});
