import assert from 'node:assert/strict';
import { Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import type { ConsumedRecord } from '@fleetmq/client';
import { DomainError } from '@fleetmq/shared';
import fc from 'fast-check';
import { describeFailure, formatFailure } from './failure.ts';
import { compileFormat } from './format.ts';
import { linesOf } from './lines.ts';
import { UsageError } from './parse.ts';
import { formatBytes, printRows } from './print.ts';
import { bytesFromJson, bytesToJson, recordFromJson, recordToJson } from './record-json.ts';
import { isPipeError, write } from './terminal.ts';
import { testTerminal } from './test-terminal.ts';

type Item = ConsumedRecord<Uint8Array, Uint8Array>;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function item(fields: Partial<Record<keyof Item, unknown>>): Item {
  const { key = null, value = null } = fields;
  const rest = { keyBytes: key ?? undefined, valueBytes: value ?? undefined };
  return {
    topic: 't',
    partition: 1,
    offset: 7,
    timestampMs: 5,
    headers: [],
    key,
    value,
    ...rest,
    ...fields,
  } as unknown as Item;
}

test('lists as table, json and ndjson', async () => {
  const rows = [
    { name: 'orders', size: 12n },
    { name: 'x', size: 3n },
  ];
  const columns = [
    { title: 'NAME', value: (row: (typeof rows)[number]) => row.name },
    { title: 'SIZE', value: (row: (typeof rows)[number]) => row.size, align: 'right' as const },
  ];
  const printed = async (format: 'table' | 'json' | 'ndjson'): Promise<string> => {
    const terminal = testTerminal();
    await printRows(terminal, format, rows, columns, (row) => row);
    return terminal.out();
  };
  assert.equal(await printed('table'), 'NAME    SIZE\norders    12\nx          3\n');
  assert.equal(await printed('ndjson'), '{"name":"orders","size":"12"}\n{"name":"x","size":"3"}\n');
  assert.deepEqual(JSON.parse(await printed('json')), [
    { name: 'orders', size: '12' },
    { name: 'x', size: '3' },
  ]);
});

test('failures print code, leader and advice, and decide the exit code', () => {
  const failure = describeFailure(new DomainError('NOT_LEADER', 'broker 1 does not lead t-0', { leaderHint: '2@h:1' }));
  assert.match(
    formatFailure(failure, false),
    /^error NOT_LEADER: broker 1 .*\n {2}leader: 2@h:1\n {2}try: send it to the leader/,
  );
  assert.equal(JSON.parse(formatFailure(failure, true)).error.leaderHint, '2@h:1');
  const codes = [
    'NOT_LEADER',
    'TIMEOUT',
    'UNAUTHORIZED',
    'UNAUTHENTICATED',
    'TOPIC_NOT_FOUND',
    'INVALID_CONFIG',
  ] as const;
  assert.deepEqual(
    codes.map((code) => describeFailure(new DomainError(code, 'x')).exitCode),
    [3, 3, 4, 4, 1, 2],
  );
  assert.equal(describeFailure(new UsageError('x')).exitCode, 2);
  assert.match(describeFailure(new TypeError('a bug')).message, /output\.test\.ts/, 'a bug keeps its stack');
});

test('consume formats', () => {
  const record = item({ key: bytes('k'), value: bytes('v'), headers: [{ key: 'h', value: bytes('1') }] });
  const format = (text: string, of: Item = record): string => Buffer.from(compileFormat(text)(of)).toString();
  assert.equal(format('%t %p %o %k=%s [%h] %T %K %S%%\\t\\n'), 't 1 7 k=v [h=1] 5 1 1%\t\n');
  assert.equal(format('<%s> %S', item({})), '<> -1');
  assert.deepEqual(compileFormat('%s')(item({ value: new Uint8Array([0xff, 0]) })), Buffer.from([0xff, 0]));
  assert.throws(() => compileFormat('%x'), /"%x" in the format is unknown/);
  assert.throws(() => compileFormat('a\\'), UsageError);
});

test('records survive the way out and in again', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (value) => {
      assert.deepEqual(Buffer.from(bytesFromJson(bytesToJson(value))), Buffer.from(value));
    }),
  );
  const record = item({
    key: new Uint8Array([0xff]),
    value: bytes('{"a":1}'),
    headers: [{ key: 'h', value: bytes('1') }],
  });
  const again = recordFromJson(JSON.stringify(recordToJson(record)), 'other');
  assert.deepEqual(
    { ...again, key: Buffer.from(again.key as Uint8Array), value: Buffer.from(again.value as Uint8Array) },
    {
      topic: 'other',
      partition: 1,
      timestamp: 5,
      key: Buffer.from([0xff]),
      value: Buffer.from('{"a":1}'),
      headers: [['h', bytes('1')]],
    },
  );
  assert.equal(recordFromJson('{"value":null}', 't').value, null);
  assert.deepEqual(recordFromJson('{"value":{"a":1},"headers":{"x":"y"}}', 't').value, bytes('{"a":1}'));
  for (const bad of ['', '[]', '{}', '{"value":1,"partition":-1}', '{"value":1,"headers":[["a"]]}', '{"value":']) {
    assert.throws(() => recordFromJson(bad, 't'), UsageError, bad);
  }
});

test('lines are cut the same wherever the chunks are cut', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.stringMatching(/^[a-c]*$/)), fc.infiniteStream(fc.nat(7)), async (lines, cuts) => {
      const input = Buffer.from(lines.map((line) => `${line}\r\n`).join(''));
      const chunks: Buffer[] = [];
      for (let at = 0; at < input.length; ) {
        const next = at + 1 + (cuts.next().value as number);
        chunks.push(input.subarray(at, next));
        at = next;
      }
      const got: string[] = [];
      for await (const some of linesOf(Readable.from(chunks)))
        got.push(...some.map((line) => Buffer.from(line).toString()));
      assert.deepEqual(got, lines);
    }),
  );
  const last = [];
  for await (const some of linesOf(Readable.from([Buffer.from('a\nb')]))) last.push(...some.map(String));
  assert.equal(last.length, 2);
  await assert.rejects(linesOf(Readable.from([Buffer.alloc(11)]), 10).next(), /longer than 10 bytes/);
});

test('a reader that leaves ends the writing, not the program', async () => {
  const closed = new Writable({ highWaterMark: 1, write: () => undefined });
  const writing = write(closed, 'x'.repeat(100));
  closed.destroy();
  await assert.rejects(writing, isPipeError);
  await assert.rejects(write(closed, 'x'), isPipeError);
});

test('bytes are short for people', () => {
  const counts = [0, 999, 1_024, 1_536, 10_240, 3 * 2 ** 30, 2n ** 60n];
  assert.deepEqual(counts.map(formatBytes), ['0 B', '999 B', '1.0 KiB', '1.5 KiB', '10 KiB', '3.0 GiB', '1048576 TiB']);
});
