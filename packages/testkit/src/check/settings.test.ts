import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { checkHistory } from './check-history.ts';
import { operation } from './histories.fuzz.ts';
import { type SettingOperation, settingModel } from './settings.ts';

type Times = readonly [number, number?];
const of = operation<SettingOperation>;
const read = (times: Times, value: string | null, version = 1): SettingOperation =>
  of(times, { kind: 'readSetting', input: {}, output: { value, version } });
const write = (times: Times, value: string): SettingOperation =>
  of(times, { kind: 'writeSetting', input: { value }, output: { version: 1 } });
const change = (times: Times, expected: string | null, value: string, isDone = true): SettingOperation =>
  of(times, {
    kind: 'compareAndSetSetting',
    input: { expected, expectedVersion: 1, value },
    output: isDone ? { version: 2 } : { refused: 'STALE_EPOCH' },
  });

const verdictOf = (operations: readonly SettingOperation[]): string =>
  checkHistory(settingModel(operations), operations, { nowMs: () => 0 }).violations.length === 0
    ? 'linearizable'
    : 'violation';

describe('the setting of the cluster', () => {
  test('a change under a condition finds the value that its caller has read', () => {
    assert.equal(
      verdictOf([read([0, 1], null), change([2, 3], null, 'a'), change([4, 5], 'a', 'b'), read([6, 7], 'b')]),
      'linearizable',
    );
    assert.equal(verdictOf([write([0, 1], 'a'), write([2, 3], 'b'), change([4, 5], 'a', 'c')]), 'violation');
  });

  test('of two that expect the same one wins', () => {
    assert.equal(
      verdictOf([write([0, 1], 'a'), change([2, 9], 'a', 'b'), change([2, 9], 'a', 'c', false)]),
      'linearizable',
    );
    assert.equal(verdictOf([write([0, 1], 'a'), change([2, 9], 'a', 'b'), change([2, 9], 'a', 'c')]), 'violation');
  });

  test('it is refused for a reason alone, and then it changed nothing', () => {
    const refused = change([4, 5], 'a', 'c', false);
    assert.equal(verdictOf([write([0, 1], 'a'), write([2, 3], 'b'), refused, read([6, 7], 'b')]), 'linearizable');
    assert.equal(verdictOf([write([0, 1], 'a'), write([2, 3], 'b'), refused, read([6, 7], 'c')]), 'violation');
    assert.equal(verdictOf([write([0, 1], 'a'), refused]), 'violation');
  });

  test('an unknown write between reading and changing is found when it was read', () => {
    const unknown = of([4], { kind: 'writeSetting', input: { value: 'u' }, output: undefined });
    assert.equal(verdictOf([write([0, 1], 'a'), unknown, change([5, 6], 'a', 'b'), read([7, 8], 'u')]), 'linearizable');
    assert.equal(verdictOf([write([0, 1], 'a'), unknown, read([5, 6], 'u'), change([7, 8], 'a', 'b')]), 'violation');
  });
});
