import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  collectPair,
  collectPartitions,
  parseAcks,
  parseBytes,
  parseCount,
  parseDuration,
  parseEnd,
  parsePlace,
  parsePositive,
  parseTime,
  UsageError,
} from './parse.ts';

const refuses = (run: () => unknown, pattern: RegExp): void =>
  assert.throws(run, (error) => error instanceof UsageError && pattern.test(error.message));

test('places', () => {
  assert.equal(parsePlace('earliest'), 'earliest');
  assert.equal(parsePlace('latest'), 'latest');
  assert.equal(parsePlace('42'), 42);
  assert.deepEqual(parsePlace('-10'), { back: 10 });
  assert.deepEqual(parsePlace('@1700000000000'), new Date(1_700_000_000_000));
  assert.deepEqual(parsePlace('@2024-02-01T00:00:00Z'), new Date('2024-02-01T00:00:00Z'));
  for (const bad of ['', 'end', '1.5', '--1', '@', '@nonsense', '99999999999999999999'])
    refuses(() => parsePlace(bad), /is no/);
});

test('ends and ages', () => {
  assert.equal(parseEnd('end'), 'end');
  assert.equal(parseEnd('7'), 7);
  assert.equal(parseTime('-15m', 1_000_000).getTime(), 1_000_000 - 900_000);
  refuses(() => parseEnd('latest'), /"latest" is no end/);
  refuses(() => parseTime('-15x'), /is no time/);
});

test('numbers and durations', () => {
  assert.equal(parseCount('0'), 0);
  assert.equal(parsePositive('3'), 3);
  refuses(() => parsePositive('0'), /below 1/);
  refuses(() => parseCount('-1'), /"-1"/);
  assert.deepEqual(['500ms', '1.5s', '2m', '250'].map(parseDuration), [500, 1500, 120_000, 250]);
  for (const bad of ['0', 's', '1y', '-1s', '99999999d']) refuses(() => parseDuration(bad), /is no duration/);
  assert.deepEqual(['7', '64k', '1.5KiB', '10M', '2gb'].map(parseBytes), [7, 65_536, 1_536, 10_485_760, 2 ** 31]);
  for (const bad of ['0', 'M', '1x', '-1k', '1.5.1']) refuses(() => parseBytes(bad), /is no count of bytes/);
});

test('lists', () => {
  assert.deepEqual(collectPair('b=2=3', collectPair('a=')), [
    ['a', ''],
    ['b', '2=3'],
  ]);
  refuses(() => collectPair('=x'), /name=value/);
  assert.deepEqual(collectPartitions('4-5', collectPartitions('0,2-3')), [0, 2, 3, 4, 5]);
  for (const bad of ['', 'a', '3-1', '0-999999']) refuses(() => collectPartitions(bad), /is no partition/);
});

test('acks', () => {
  assert.deepEqual(['none', 'leader', 'majority', 'all', '2'].map(parseAcks), ['none', 'leader', 'majority', 'all', 2]);
  refuses(() => parseAcks('0'), /below 1/);
  refuses(() => parseAcks('-1'), /no level/);
});
