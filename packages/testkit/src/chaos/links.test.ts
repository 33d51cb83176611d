import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clients, cutBetween, cutToward, rulesetOf } from './links.ts';

const addresses: Readonly<Record<string, string>> = {
  c1: '10.0.0.1',
  c2: '10.0.0.2',
  c3: '10.0.0.3',
  [clients]: '10.0.0.254',
};
const rulesOf = (node: string, ...faults: Parameters<typeof rulesetOf>[1]): string[] =>
  rulesetOf(node, faults, (each) => addresses[each] as string)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.endsWith('drop'));

test('a node without faults drops nothing, and what was there before goes', () => {
  assert.deepEqual(rulesOf('c1'), []);
  assert.match(
    rulesetOf('c1', [], () => ''),
    /^table inet fmq\ndelete table inet fmq\ntable inet fmq \{\n {2}chain input/,
  );
});

test('a cut between nodes holds on arrival, at both ends', () => {
  const cut = { cuts: cutBetween(['c1'], ['c2', 'c3']) };
  assert.deepEqual(rulesOf('c1', cut), ['ip saddr 10.0.0.2 drop', 'ip saddr 10.0.0.3 drop']);
  assert.deepEqual(rulesOf('c2', cut), ['ip saddr 10.0.0.1 drop']);
});

test('one direction alone leaves the other', () => {
  const cut = { cuts: cutToward(['c2'], ['c1']) };
  assert.deepEqual([rulesOf('c1', cut), rulesOf('c2', cut)], [['ip saddr 10.0.0.2 drop'], []]);
});

test('what goes to clients is dropped when it leaves', () => {
  const cut = { cuts: cutBetween(['c1'], [clients]) };
  assert.deepEqual(rulesOf('c1', cut), ['ip saddr 10.0.0.254 drop', 'ip daddr 10.0.0.254 drop']);
});

test('faults add up, each rule once; losses concern one node, both ways', () => {
  const loss = { losses: [{ node: 'c1', percent: 30 }] };
  const cut = { cuts: cutToward(['c2'], ['c1']) };
  const lossy = 'numgen random mod 100 < 30 drop';
  assert.deepEqual(rulesOf('c1', cut, loss, cut), ['ip saddr 10.0.0.2 drop', lossy, lossy]);
  assert.deepEqual(rulesOf('c2', loss), []);
});
