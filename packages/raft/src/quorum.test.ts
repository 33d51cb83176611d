import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { jointCommitted, jointVote, jointVoters, majorityCommitted, majorityVote } from './quorum.ts';

const ids = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 7 });
const acks = fc.dictionary(
  fc.constantFrom('1', '2', '3', '4', '5', '6', '7', '8', '9'),
  fc.integer({ min: 1, max: 12 }),
);
const joint = fc.record({ incoming: ids.map((list) => new Set(list)), outgoing: ids.map((list) => new Set(list)) });

const toMap = <Value>(values: Record<string, Value>): Map<number, Value> =>
  new Map(Object.entries(values).map(([id, value]) => [Number(id), value]));

/** The definition: try every index. */
function slowCommitted(config: ReadonlySet<number>, acked: ReadonlyMap<number, number>): number {
  if (config.size === 0) return Number.POSITIVE_INFINITY;
  for (let index = 12; ; index--) {
    const count = [...config].filter((id) => (acked.get(id) ?? 0) >= index).length;
    if (count * 2 > config.size) return index;
  }
}

test('the committed index is the highest that a majority of each half has', () => {
  fc.assert(
    fc.property(joint, acks, (config, values) => {
      const acked = toMap(values);
      const lookup = (id: number): number | undefined => acked.get(id);
      assert.equal(majorityCommitted(config.incoming, lookup), slowCommitted(config.incoming, acked));
      assert.equal(
        jointCommitted(config, lookup),
        Math.min(slowCommitted(config.incoming, acked), slowCommitted(config.outgoing, acked)),
      );
    }),
  );
});

test('a vote is pending exactly as long as the missing answers can decide it both ways', () => {
  const votes = fc.dictionary(fc.constantFrom('1', '2', '3', '4', '5', '6', '7', '8', '9'), fc.boolean());
  fc.assert(
    fc.property(joint, votes, (config, values) => {
      const cast = toMap(values);
      const withMissing = (answer: boolean): Map<number, boolean> =>
        new Map(jointVoters(config).map((id) => [id, cast.get(id) ?? answer]));
      const best = jointVote(config, withMissing(true));
      const worst = jointVote(config, withMissing(false));
      assert.notEqual(best, 'VotePending');
      assert.notEqual(worst, 'VotePending');
      assert.equal(jointVote(config, cast), best === worst ? best : 'VotePending');
    }),
  );
});

test('no majority decides everything', () => {
  assert.equal(majorityVote(new Set(), new Map()), 'VoteWon');
  assert.equal(
    majorityCommitted(new Set(), () => undefined),
    Number.POSITIVE_INFINITY,
  );
});
