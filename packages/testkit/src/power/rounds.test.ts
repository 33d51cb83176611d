import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { seededRandom } from '@fleetmq/shared';
import { cutKinds, describeCut, drawRound, kindOf } from './rounds.ts';

const brokers = [1, 2, 3];
const drawMany = (seed: number) => {
  const random = seededRandom(seed);
  return Array.from({ length: 200 }, () => drawRound(brokers, random));
};

describe('rounds', () => {
  test('a seed is a plan: everything comes, and comes again the same', () => {
    const rounds = drawMany(1);
    assert.deepEqual(rounds, drawMany(1));
    assert.notDeepEqual(rounds, drawMany(2));
    const blows = rounds.flatMap((round) => round.blows);
    const seen = new Set(blows.flatMap((blow) => [kindOf(blow), `silent ${blow.isSilent}`]));
    const expected = ['all', 'one', 'silent false', 'silent true', 'two'];
    assert.deepEqual([...seen].sort(), expected);
    const sorts = new Set(rounds.map((round) => `${round.blows.length} ${round.isOverlapping}`));
    assert.deepEqual([...sorts].sort(), ['1 false', '2 false', '2 true']);
  });

  test('victims are different brokers, each with an outage; nobody is hit twice at a time', () => {
    for (const { blows, isOverlapping } of drawMany(3)) {
      for (const { victims, outagesMs } of blows) {
        assert.equal(new Set(victims).size, victims.length);
        assert.ok(victims.length > 0 && victims.every((id) => brokers.includes(id)));
        assert.equal(outagesMs.length, victims.length);
      }
      const all = blows.flatMap(({ victims }) => victims);
      if (isOverlapping) assert.equal(new Set(all).size, all.length);
    }
  });

  test('a kind can be asked for', () => {
    for (const kind of cutKinds) {
      const { blows } = drawRound(brokers, seededRandom(4), kind);
      assert.deepEqual(blows.map(kindOf), [kind]);
    }
  });

  test('a cut in words', () => {
    assert.equal(describeCut({ victims: [3, 1], isSilent: true }), 'brokers 3, 1 lose their power, in silence');
  });
});
