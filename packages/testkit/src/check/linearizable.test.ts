import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { checkHistory } from './check-history.ts';
import {
  anyRegisterHistory,
  anySettingHistory,
  atomicRegisterHistory,
  atomicTopicHistory,
  operation,
} from './histories.fuzz.ts';
import type { Operation } from './history.ts';
import { checkLinearizable, type SearchLimits } from './linearizable.ts';
import type { Model } from './model.ts';
import { isLinearizable } from './oracle.fuzz.ts';
import { type RegisterOperation, registerModel } from './register.ts';
import { settingModel } from './settings.ts';
import { topicModel } from './topics.ts';

const limits: SearchLimits = { stepsMax: 10_000_000, hasTime: () => true };
const key = 'x';
const nowMs = () => performance.now();

type Times = readonly [number, number?];
const read = (times: Times, output: number | null) =>
  operation<RegisterOperation>(times, { kind: 'read', input: { key }, output });
const write = (times: Times, value: number) =>
  operation<RegisterOperation>(times, { kind: 'write', input: { key, value }, output: null });
const swap = (times: Times, expected: number | null, value: number, output: boolean | undefined) =>
  operation<RegisterOperation>(times, { kind: 'compareAndSet', input: { key, expected, value }, output });

const verdictOf = (operations: readonly RegisterOperation[]) => {
  const byCall = operations.toSorted((left, right) => left.invokedMs - right.invokedMs);
  return checkLinearizable(registerModel, byCall, limits);
};

describe('registers by hand', () => {
  const good: Record<string, readonly RegisterOperation[]> = {
    'nothing at all': [],
    'one after the other': [write([0, 1], 1), read([2, 3], 1)],
    'a read during a write may see it or not': [write([0, 9], 1), read([1, 2], null), read([3, 4], 1)],
    'two concurrent writes, in the order that the reads show': [
      write([0, 9], 1),
      write([0, 9], 2),
      read([1, 2], 2),
      read([3, 4], 1),
    ],
    'a write of unknown outcome that takes effect late': [
      write([0], 1),
      write([1, 2], 2),
      read([3, 4], 2),
      read([5, 6], 1),
    ],
    'a write of unknown outcome that never does': [write([0, 1], 1), write([2], 2), read([3, 4], 1), read([90, 91], 1)],
    'an unknown compare-and-set explains the value': [write([0, 1], 1), swap([2], 1, 2, undefined), read([3, 4], 2)],
    'what touches is concurrent': [write([0, 1], 1), read([1, 2], null)],
    'one of two compare-and-sets wins': [swap([0, 5], null, 1, true), swap([0, 5], null, 2, false), read([6, 7], 1)],
  };
  for (const [name, operations] of Object.entries(good)) {
    test(name, () => assert.equal(verdictOf(operations).kind, 'linearizable'));
  }

  const bad: Record<string, readonly RegisterOperation[]> = {
    'a stale read': [write([0, 1], 1), write([2, 3], 2), read([4, 5], 1)],
    'a lost write': [write([0, 1], 1), read([2, 3], null)],
    'a write seen, then unseen': [write([0, 9], 1), read([1, 2], 1), read([3, 4], null)],
    'an unknown write seen, then unseen': [write([0], 1), read([1, 2], 1), read([3, 4], null)],
    'an unknown write seen before it was called': [read([0, 1], 1), write([2], 1)],
    'an unknown write takes effect once': [
      write([0], 1),
      read([1, 2], 1),
      write([3, 4], 2),
      read([5, 6], 2),
      read([7, 8], 1),
    ],
    'both compare-and-sets win': [swap([0, 5], null, 1, true), swap([0, 5], null, 2, true)],
    'a value that nobody wrote': [read([0, 1], 7)],
  };
  for (const [name, operations] of Object.entries(bad)) {
    test(name, () => assert.equal(verdictOf(operations).kind, 'violation'));
  }

  test('what failed did not happen', () => {
    const failed = { ...write([0, 1], 1), outcome: 'fail' as const };
    assert.equal(verdictOf([failed, read([2, 3], null)]).kind, 'linearizable');
    assert.equal(verdictOf([failed, read([2, 3], 1)]).kind, 'violation');
  });

  test('a violation names the first answer that cannot be, what it could have been, and what was open', () => {
    const later = [read([20, 21], 5), write([22, 23], 6)];
    const operations = [write([0, 1], 1), write([2, 3], 2), write([4], 3), read([5, 9], 1), ...later];
    const verdict = verdictOf(operations);
    assert.ok(verdict.kind === 'violation');
    const { violation } = verdict;
    assert.equal(violation.operation, operations[3]);
    assert.equal(violation.prefixLength, 4);
    assert.deepEqual(
      violation.before.map(({ state }) => state),
      [2],
    );
    assert.deepEqual(violation.before[0]?.last, [operations[0], operations[1]]);
    assert.deepEqual(violation.open, [operations[2]]);
    const { violations } = checkHistory(registerModel, operations, { nowMs });
    assert.match(
      violations[0] ?? '',
      /^x: no order explains the answer of\n.*process \d+: read: 1\n.*could have been: 2, after\n/,
    );
  });

  test('gives up when its work or its time is over', () => {
    const operations = atomicRegisterHistory({ seed: 1, operations: 2_000, processes: 5, keys: 1, unknownRate: 0 });
    assert.equal(checkLinearizable(registerModel, operations, { ...limits, stepsMax: 100 }).kind, 'gave-up');
    assert.equal(checkLinearizable(registerModel, operations, { ...limits, hasTime: () => false }).kind, 'gave-up');
    const { gaveUp } = checkHistory(registerModel, operations, { nowMs, stepsMax: 100 });
    assert.deepEqual(gaveUp, ['k0']);
  });
});

describe('against every order there is', () => {
  const agree = <State, Op extends Operation>(model: Model<State, Op>, operations: readonly Op[]): void => {
    const expected = isLinearizable(model, operations) ? 'linearizable' : 'violation';
    assert.equal(checkLinearizable(model, operations, limits).kind, expected);
  };

  test('arbitrary small histories of a register', () => {
    fc.assert(
      fc.property(anyRegisterHistory, (operations) => agree(registerModel, operations)),
      { numRuns: 3_000 },
    );
  });

  test('arbitrary small histories of the setting, where values that nobody reads are left out', () => {
    fc.assert(
      fc.property(anySettingHistory, (operations) => agree(settingModel(operations), operations)),
      { numRuns: 3_000 },
    );
  });

  test('the shortest wrong prefix is named', () => {
    fc.assert(
      fc.property(anyRegisterHistory, (operations) => {
        const verdict = checkLinearizable(registerModel, operations, limits);
        if (verdict.kind !== 'violation') return;
        const { operation: wrong } = verdict.violation;
        // What is answered later may have taken effect, with just that answer.
        const cutAt = (isKnown: (returnedMs: number) => boolean) =>
          operations
            .filter(({ invokedMs }) => invokedMs <= wrong.returnedMs)
            .map((each) =>
              isKnown(each.returnedMs) || each.outcome === 'fail'
                ? each
                : { ...each, outcome: 'info' as const, returnedMs: Number.POSITIVE_INFINITY },
            );
        assert.equal(
          isLinearizable(
            registerModel,
            cutAt((returnedMs) => returnedMs < wrong.returnedMs),
          ),
          true,
        );
        assert.equal(
          isLinearizable(
            registerModel,
            cutAt((returnedMs) => returnedMs <= wrong.returnedMs),
          ),
          false,
        );
      }),
      { numRuns: 1_000 },
    );
  });

  const small = { operations: 8, processes: 3, keys: 1, unknownRate: 0.2 };

  test('an answer that is changed is found', () => {
    let found = 0;
    for (let seed = 1; seed <= 400; seed++) {
      const operations = atomicTopicHistory({ ...small, seed });
      const model = topicModel(operations);
      agree(model, operations);
      for (const [position, each] of operations.entries()) {
        if (each.outcome !== 'ok') continue;
        const output =
          each.output !== undefined && 'refused' in each.output ? { topicId: 'none' } : { refused: 'TOPIC_NOT_FOUND' };
        const changed = operations.with(position, { ...each, output } as typeof each);
        agree(topicModel(changed), changed);
        if (!isLinearizable(topicModel(changed), changed)) found++;
      }
    }
    assert.ok(found > 1_000, `only ${found} changed answers were wrong`);
  });
});

describe('what an atomic object answers', () => {
  test('is linearizable, with answers that are lost and effects that come late', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const options = { seed, operations: 300, processes: 6, keys: 2, unknownRate: 0.05 };
      const registers = checkHistory(registerModel, atomicRegisterHistory(options), { nowMs });
      assert.deepEqual([registers.violations, registers.gaveUp], [[], []]);
      const operations = atomicTopicHistory(options);
      const topics = checkHistory(topicModel(operations), operations, { nowMs });
      assert.deepEqual([topics.violations, topics.gaveUp], [[], []]);
    }
  });

  test('10,000 operations of 8 processes on 10 keys take a few seconds', (t) => {
    const options = { seed: 7, operations: 10_000, processes: 8, keys: 10, unknownRate: 0.01 };
    const operations = atomicTopicHistory(options);
    const startedMs = performance.now();
    const report = checkHistory(topicModel(operations), operations, { nowMs });
    const tookMs = performance.now() - startedMs;
    t.diagnostic(`${report.steps} steps in ${tookMs.toFixed(0)} ms`);
    assert.deepEqual([report.violations, report.gaveUp, report.keys], [[], [], 10]);
    assert.ok(tookMs < 10_000, `${tookMs} ms`);
  });
});
