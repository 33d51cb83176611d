import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatEvent, type HistoryEvent, operationsOf, parseEvents } from './history.ts';

const events: readonly HistoryEvent[] = [
  { type: 'invoke', process: 1, timeMs: 0.5, kind: 'write', input: { value: 1 } },
  { type: 'invoke', process: 2, timeMs: 1, kind: 'read', input: {} },
  { type: 'ok', process: 1, timeMs: 2, kind: 'write', output: { version: 3 } },
  { type: 'fail', process: 2, timeMs: 3, kind: 'read', error: 'NOT_LEADER' },
  { type: 'invoke', process: 2, timeMs: 4, kind: 'write', input: { value: 2 } },
  { type: 'info', process: 2, timeMs: 5, kind: 'write', error: 'TIMEOUT' },
  { type: 'invoke', process: 1, timeMs: 6, kind: 'read', input: {} },
];

describe('history', () => {
  test('a file holds what was recorded', () => {
    assert.deepEqual(parseEvents(`${events.map(formatEvent).join('\n')}\n`), events);
  });

  test('calls and answers become operations; without an answer the outcome is unknown', () => {
    const rows = operationsOf(events).map(({ process, kind, outcome, output, invokedMs, returnedMs }) => {
      return [process, kind, outcome, output, invokedMs, returnedMs];
    });
    const never = Number.POSITIVE_INFINITY;
    assert.deepEqual(rows, [
      [1, 'write', 'ok', { version: 3 }, 0.5, 2],
      [2, 'read', 'fail', undefined, 1, 3],
      [2, 'write', 'info', undefined, 4, never],
      [1, 'read', 'info', undefined, 6, never],
    ]);
  });

  test('what is no history is refused, with the line', () => {
    const invoke = '{"type":"invoke","process":1,"timeMs":0,"kind":"read"}';
    for (const [text, message] of [
      ['{', /line 1 is no JSON/],
      [`${invoke}\n\n{"type":"maybe","process":1,"timeMs":0,"kind":"read"}`, /line 3 is no event/],
      ['{"type":"ok","process":1,"timeMs":null,"kind":"read"}', /line 1 is no event/],
      ['null', /line 1 is no event/],
    ] as const) {
      assert.throws(() => parseEvents(text), { code: 'INVALID_REQUEST', message });
    }
    assert.throws(() => operationsOf(parseEvents(`${invoke}\n${invoke}`)), /process 1 calls read during read/);
    assert.throws(
      () => operationsOf(parseEvents(invoke.replace('invoke', 'ok'))),
      /answer to read, which it did not call/,
    );
  });
});
