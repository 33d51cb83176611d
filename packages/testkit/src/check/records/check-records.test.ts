import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { checkRecords, type RecordCheckOptions, type RecordReport } from './check-records.ts';
import { type FindingName, findingNames } from './findings.ts';
import { partition, WrittenHistory } from './written-history.fuzz.ts';

type Write = (history: WrittenHistory) => WrittenHistory;

interface Case {
  readonly name: FindingName;
  readonly what: string;
  readonly found: Write;
  readonly neighbours: Readonly<Record<string, Write>>;
  readonly options?: RecordCheckOptions;
}

/** Two values in the log, of one process. */
const two: Write = (history) => history.send(['a'], [0]).send(['b'], [1]);
const both = [
  [0, 'a'],
  [1, 'b'],
] as const;
const [a, b] = both;

const cases: readonly Case[] = [
  {
    name: 'lost-write',
    what: 'acknowledged, and only what lies above it was polled',
    found: (history) => two(history).assign(9).poll(9, [b]),
    neighbours: {
      'somebody polled it': (history) => two(history).assign(9).poll(9, [b]).poll(8, [a]),
      'it was not acknowledged': (history) => history.send(['a'], 'info').send(['b'], [1]).poll(9, [b]),
      'it has no answer': (history) => history.send(['a'], 'open').send(['b'], [1]).poll(9, [b]),
      'acknowledged by its leader alone': (history) => {
        return history.send(['a'], [0], { acks: 'leader' }).send(['b'], [1]).poll(9, [b]);
      },
      'behind the start of the log': (history) =>
        two(history)
          .poll(9, [b])
          .exempt({ logStarts: { [partition]: 1 } }),
      'power loss under an unsafe flush policy': (history) =>
        two(history)
          .poll(9, [b])
          .exempt({ unsafeFlush: ['t'] }),
      'compacted, with a later record of its key': (history) => {
        const sent = history.send(['a'], [0], { keys: ['k'] }).send(['b'], [1], { keys: ['k'] });
        return sent.poll(9, [b]).exempt({ compacted: ['t'] });
      },
    },
  },
  {
    name: 'lost-write',
    what: 'compacted, but it is the last record of its key',
    found: (history) => {
      const sent = history.send(['a'], [0], { keys: ['k'] }).send(['b'], [1], { keys: ['other'] });
      return sent.poll(9, [b]).exempt({ compacted: ['t'] });
    },
    neighbours: {},
  },
  {
    name: 'unseen',
    what: 'acknowledged above everything that was polled',
    found: (history) => two(history).poll(9, [a]),
    neighbours: {
      'polled at last': (history) => two(history).poll(9, [a]).poll(9, [b]),
      'acknowledged at no level': (history) => {
        return history.send(['a'], [0]).send(['b'], [null], { acks: 'none' }).poll(9, [a]);
      },
    },
  },
  {
    name: 'duplicate',
    what: 'one value at two offsets',
    found: (history) => history.send(['a'], [0]).poll(9, [a, [1, 'a']]),
    neighbours: {
      'polled twice at one offset, by two': (history) => history.send(['a'], [0]).poll(9, [a]).poll(8, [a]),
      'the offset of ACK_NONE binds nobody': (history) => {
        return history.send(['a'], [5], { acks: 'none' }).poll(9, [a]);
      },
    },
  },
  {
    name: 'duplicate',
    what: 'acknowledged at one offset, polled at another',
    found: (history) => history.send(['a'], [0]).poll(9, [[3, 'a']]),
    neighbours: {
      'the answer was lost': (history) => history.send(['a'], 'info').poll(9, [[3, 'a']]),
    },
  },
  {
    name: 'inconsistent-offsets',
    what: 'one offset with two values for two readers',
    found: (history) => {
      return history
        .send(['a'], 'info')
        .send(['b'], 'info')
        .poll(8, [a])
        .poll(9, [[0, 'b']]);
    },
    neighbours: {
      'equal offsets of two partitions': (history) => {
        return history
          .send(['a'], [0])
          .send(['b'], [0], { to: 't/1' })
          .poll(8, [a])
          .poll(8, [[0, 'b']], { of: 't/1' });
      },
      'acknowledged by a leader that was lost': (history) => {
        return history
          .send(['a'], [0], { acks: 'leader' })
          .send(['b'], [0], { process: 2 })
          .poll(9, [[0, 'b']]);
      },
    },
  },
  {
    name: 'unwritten-read',
    what: 'polled from a partition that it was not sent to',
    found: (history) => {
      return history
        .send(['a'], [0], { to: 't/1' })
        .poll(8, [a], { of: 't/1' })
        .poll(9, [[7, 'a']]);
    },
    neighbours: {
      'sent to both': (history) => {
        const sent = history.send(['a'], [0], { to: 't/1' }).send(['a'], [7]);
        return sent.poll(8, [a], { of: 't/1' }).poll(9, [[7, 'a']]);
      },
    },
  },
  {
    name: 'G1a',
    what: 'told as not written, and polled',
    found: (history) => history.send(['a'], 'fail').poll(9, [a]),
    neighbours: {
      'of unknown outcome': (history) => history.send(['a'], 'info').poll(9, [a]),
      'an aborted transaction, for who reads what is not committed': (history) => {
        const sent = history.txn(1, [{ partition, values: ['a'] }], 'fail');
        return sent.assign(9, { isolation: 'read-uncommitted' }).poll(9, [a]);
      },
    },
  },
  {
    name: 'G1a',
    what: 'not written, and polled by who reads what is not committed',
    found: (history) => history.send(['a'], 'fail').assign(9, { isolation: 'read-uncommitted' }).poll(9, [a]),
    neighbours: {},
  },
  {
    name: 'G1a',
    what: 'an aborted transaction',
    found: (history) =>
      history
        .txn(1, [{ partition, values: ['a'] }], 'fail')
        .assign(9)
        .poll(9, [a]),
    neighbours: {
      'one that was committed': (history) => {
        return history
          .txn(1, [{ partition, values: ['a'] }], { offsets: [0], polls: [] })
          .assign(9)
          .poll(9, [a]);
      },
      'its records are gaps': (history) => {
        const sent = history
          .txn(1, [{ partition, values: ['x'] }], 'fail')
          .send(['a'], [0])
          .send(['b'], [2]);
        const read = sent.assign(8, { isolation: 'read-uncommitted' }).poll(8, [a, [1, 'x'], [2, 'b']]);
        return read.assign(9).poll(9, [a, [2, 'b']]);
      },
    },
  },
  {
    name: 'G1c',
    what: 'two transactions polled what the other one sent',
    found: (history) => {
      const first = { offsets: [0], polls: [{ partition: 't/1', records: [[0, 'b']] as const }] };
      const second = { offsets: [0], polls: [{ partition, records: [a] }] };
      const one = history.txn(1, [{ partition, values: ['a'] }], first);
      return one.txn(2, [{ partition: 't/1', values: ['b'] }], second);
    },
    neighbours: {
      'one of the other': (history) => {
        const second = { offsets: [0], polls: [{ partition, records: [a] }] };
        const one = history.txn(1, [{ partition, values: ['a'] }], { offsets: [0], polls: [] });
        return one.txn(2, [{ partition: 't/1', values: ['b'] }], second).poll(9, [[0, 'b']], { of: 't/1' });
      },
    },
  },
  {
    name: 'precommitted-read',
    what: 'a transaction polled what it had sent',
    found: (history) => {
      return history.txn(1, [{ partition, values: ['a'] }], { offsets: [0], polls: [{ partition, records: [a] }] });
    },
    neighbours: {
      'the next one of its process': (history) => {
        const one = history.txn(1, [{ partition, values: ['a'] }], { offsets: [0], polls: [] });
        return one.txn(1, [], { offsets: [], polls: [{ partition, records: [a] }] });
      },
      'it reads what is not committed': (history) => {
        const outcome = { offsets: [0], polls: [{ partition, records: [a] }] };
        return history.assign(1, { isolation: 'read-uncommitted' }).txn(1, [{ partition, values: ['a'] }], outcome);
      },
    },
  },
  {
    name: 'poll-skip',
    what: 'two polls jump over a value that another process polled',
    found: (history) => {
      return two(history)
        .send(['c'], [2])
        .poll(8, [...both, [2, 'c']])
        .poll(9, [a])
        .poll(9, [[2, 'c']]);
    },
    neighbours: {
      'nothing is known between them': (history) => {
        return history
          .send(['a'], [0])
          .send(['c'], [2])
          .poll(9, [a])
          .poll(9, [[2, 'c']]);
      },
      'a new assignment': (history) => {
        const read = two(history)
          .send(['c'], [2])
          .poll(8, [...both, [2, 'c']])
          .poll(9, [a]);
        return read.assign(9).poll(9, [[2, 'c']]);
      },
      'a new subscription': (history) => {
        const read = two(history)
          .send(['c'], [2])
          .poll(8, [...both, [2, 'c']])
          .poll(9, [a]);
        return read.subscribe(9).poll(9, [[2, 'c']]);
      },
      'a rebalance': (history) => {
        const read = two(history)
          .send(['c'], [2])
          .poll(8, [...both, [2, 'c']])
          .poll(9, [a]);
        return read.poll(9, [[2, 'c']], { rebalanced: [partition] });
      },
      'a rebalance between them': (history) => {
        const read = two(history)
          .send(['c'], [2])
          .poll(8, [...both, [2, 'c']])
          .poll(9, [a]);
        return read.poll(9, [], { rebalanced: [partition] }).poll(9, [[2, 'c']]);
      },
      'the log starts behind it': (history) => {
        const read = two(history)
          .send(['c'], [2])
          .poll(8, [...both, [2, 'c']])
          .poll(9, [a])
          .poll(9, [[2, 'c']]);
        return read.exempt({ logStarts: { [partition]: 2 } });
      },
    },
  },
  {
    name: 'nonmonotonic-poll',
    what: 'a poll goes back',
    found: (history) => two(history).poll(9, both).poll(9, [a]),
    neighbours: {
      'another process': (history) => two(history).poll(9, both).poll(8, [a]),
      'a new assignment': (history) => two(history).poll(9, both).assign(9).poll(9, both),
    },
  },
  {
    name: 'nonmonotonic-poll',
    what: 'a record is handed over twice',
    found: (history) => two(history).poll(9, [a]).poll(9, both),
    neighbours: {},
  },
  {
    name: 'int-poll-skip',
    what: 'one poll leaves out a value',
    found: (history) =>
      two(history)
        .send(['c'], [2])
        .poll(8, [...both, [2, 'c']])
        .poll(9, [a, [2, 'c']]),
    neighbours: {
      'a gap in which nothing is known': (history) => {
        return history
          .send(['a'], [0])
          .send(['c'], [2])
          .poll(9, [a, [2, 'c']]);
      },
    },
  },
  {
    name: 'int-nonmonotonic-poll',
    what: 'one poll hands over in another order',
    found: (history) => two(history).poll(9, [b, a]),
    neighbours: { 'in order': (history) => two(history).poll(9, both) },
  },
  {
    name: 'nonmonotonic-send',
    what: 'a later send lies lower',
    found: (history) => history.send(['b'], [1]).send(['a'], [0]).poll(9, both),
    neighbours: {
      'another process': (history) => history.send(['b'], [1]).send(['a'], [0], { process: 2 }).poll(9, both),
      'without a producer, both under way': (history) => {
        const answerB = history.start(['b'], { idempotent: false });
        history.start(['a'], { idempotent: false })([0]);
        answerB([1]);
        return history.poll(9, both);
      },
    },
  },
  {
    name: 'nonmonotonic-send',
    what: 'an answer was lost, and a later send lies lower',
    found: (history) => history.send(['b'], 'info').send(['a'], [0]).poll(9, both),
    neighbours: {
      'without a producer, it may come late': (history) => {
        const idempotent = false;
        return history.send(['b'], 'info', { idempotent }).send(['a'], [0], { idempotent }).poll(9, both);
      },
    },
  },
  {
    name: 'nonmonotonic-send',
    what: 'of one producer, both under way',
    found: (history) => {
      const answerB = history.start(['b']);
      history.start(['a'])([0]);
      answerB([1]);
      return history.poll(9, both);
    },
    neighbours: {},
  },
  {
    name: 'int-nonmonotonic-send',
    what: 'values of one send in another order',
    found: (history) => history.send(['b', 'a'], [1, 0]).poll(9, both),
    neighbours: { 'in order': (history) => history.send(['a', 'b'], [0, 1]).poll(9, both) },
  },
  {
    name: 'worst-realtime-lag',
    what: 'after healing a process polls and does not get what is there',
    found: (history) => {
      const early = two(history).healed().assign(9, { from: 'earliest' }).poll(9, [a]);
      return early.wait(100).poll(9, []).poll(9, [b]);
    },
    neighbours: {
      'it polled once, late': (history) => {
        return two(history).healed().assign(9, { from: 'earliest' }).wait(100).poll(9, both);
      },
      'before healing': (history) => {
        const early = two(history).assign(9, { from: 'earliest' }).poll(9, [a]);
        return early.wait(100).poll(9, []).healed().poll(9, [b]);
      },
    },
    options: { lagMaxMs: 50 },
  },
];

/** Names with what was found. */
function namesIn({ anomalies }: RecordReport): readonly string[] {
  return findingNames.filter((name) => anomalies[name].found > 0);
}

describe('each name has a history with exactly that, and neighbours with nothing', () => {
  for (const { name, what, found, neighbours, options } of cases) {
    test(`${name}: ${what}`, () => {
      const report = checkRecords(found(new WrittenHistory()).events, options);
      assert.deepEqual(namesIn(report), [name]);
      assert.equal(report.isGood, false);
      assert.equal(report.anomalies[name].found, 1);
      const [finding] = report.findings;
      assert.ok(
        finding !== undefined && finding.name === name && finding.operations.length > 0,
        JSON.stringify(finding),
      );
      for (const [why, write] of Object.entries(neighbours)) {
        const good = checkRecords(write(new WrittenHistory()).events, options);
        assert.deepEqual(good.findings, [], why);
        assert.ok(good.isGood, why);
      }
    });
  }

  test('int-send-skip is counted and no finding', () => {
    const sent = new WrittenHistory().send(['a', 'c'], [0, 2]).send(['b'], [1], { process: 2 });
    const report = checkRecords(sent.poll(9, [...both, [2, 'c']]).events);
    assert.ok(report.isGood);
    assert.deepEqual(report.anomalies['int-send-skip'], { found: 0, exempt: 1 });
  });

  test('every name is here', () => {
    const named = new Set([...cases.map(({ name }) => name), 'int-send-skip']);
    assert.deepEqual([...named].sort(), [...findingNames].sort());
  });
});

describe('the report', () => {
  test('shows the operations', () => {
    const history = two(new WrittenHistory())
      .send(['c'], 'info')
      .assign(9)
      .poll(9, [b, [2, 'c']]);
    const [finding] = checkRecords(history.events).findings;
    assert.deepEqual(finding, {
      name: 'lost-write',
      text: 'a of t/0, acknowledged at 0, was never polled, although 2 was',
      operations: ['[0.0, 1.0] process 1 send t/0 a: acknowledged at 0', '[8.0, 9.0] process 9 poll t/0: 1=b 2=c'],
    });
  });

  test('counts all and keeps a few', () => {
    const history = new WrittenHistory();
    const values = Array.from({ length: 100 }, (_, number) => `v${number}`);
    history.send(
      values,
      values.map((_, number) => number),
    );
    const { anomalies, findings } = checkRecords(history.events, { findingsMax: 3 });
    assert.deepEqual(anomalies.unseen, { found: 100, exempt: 0 });
    assert.equal(findings.length, 3);
  });

  test('counts operations, records and exempt ones', () => {
    const history = two(new WrittenHistory()).send(['c'], 'fail').send(['d'], 'info').send(['e'], 'open');
    const report = checkRecords(history.send(['f'], [9], { acks: 'leader' }).poll(9, both).poll(8, both).events);
    assert.deepEqual(report.counts, {
      ...{ partitions: 1, processes: 3, sent: 6, acknowledged: 3, failed: 1, unknown: 2, polled: 4, distinct: 2 },
    });
    assert.deepEqual(report.operations.send, { ok: 3, fail: 1, info: 1, open: 1 });
    assert.deepEqual(report.anomalies.unseen, { found: 0, exempt: 1 });
    assert.ok(report.isGood);
  });

  test('the lag counts from when something newer was known to when a poll began', () => {
    const history = new WrittenHistory().assign(9, { from: 'earliest' }).send(['a'], [0]).poll(9, [a]);
    // b is acknowledged at 7; polls begin at 108 and at 209.
    history.send(['b'], [1]).wait(100).poll(9, []).wait(99).poll(9, [b]);
    const { worst, afterHealing } = checkRecords(history.events).lags;
    assert.deepEqual(worst, { lagMs: 101, partition, process: 9, offset: 0, atMs: 108 });
    assert.equal(afterHealing, undefined);
  });
});

describe('what is no history is refused', () => {
  const [invoke, answer] = new WrittenHistory().send(['a'], [0]).events;
  for (const [what, events, message] of [
    ['an answer to nothing', [answer], /answer to send 0, which nobody has called/],
    ['a call twice', [invoke, invoke], /operation 0 is called twice/],
    ['too few offsets', [invoke, { ...answer, output: { offsets: [] } }], /1 values are answered with 0 offsets/],
    ['a value sent twice', new WrittenHistory().send(['a'], 'info').send(['a'], [0]).events, /a is sent to t\/0 twice/],
  ] as const) {
    test(what, () => {
      assert.throws(() => checkRecords(events as never), { code: 'INVALID_REQUEST', message });
    });
  }
});
