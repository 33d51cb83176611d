import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkRecords } from './check-records.ts';
import type { RecordEvent } from './events.ts';
import { Execution } from './execution.fuzz.ts';
import { RecordFile, readRecordFile } from './record-file.ts';
import { WrittenHistory } from './written-history.fuzz.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fleetmq-records-'));
after(() => fs.rmSync(folder, { recursive: true }));

function write(name: string, events: readonly RecordEvent[]): string {
  const file = path.join(folder, name);
  using target = new RecordFile(file);
  for (const event of events) target.write(event);
  return file;
}

describe('a file of records', () => {
  test('holds what was noted, however long it is', () => {
    const { events } = new Execution(1).run(20_000);
    const file = write('long', events);
    assert.ok(fs.statSync(file).size > 2 << 20, 'more than one piece');
    assert.deepEqual([...readRecordFile(file)], events);
    assert.deepEqual(checkRecords(readRecordFile(file)), checkRecords(events));
  });

  test('with a line that is none is refused, with its number', () => {
    const head = '"process":1,"timeMs":0,"id":1';
    for (const line of [
      `{${head},"type":"invoke","kind":"read"}`,
      `{"process":1,"timeMs":0,"type":"invoke","kind":"poll"}`,
      `{${head},"type":"invoke","kind":"send","input":{"sends":[{"partition":"t/0","values":[1]}]}}`,
      `{${head},"type":"invoke","kind":"send","input":{"sends":[{"partition":"t/0","values":["a"],"keys":[]}]}}`,
      `{${head},"type":"ok","kind":"send","output":{"offsets":[-1]}}`,
      `{${head},"type":"ok","kind":"poll","output":{"polls":[{"partition":"t/0","records":[["a",0]]}]}}`,
      `{${head},"type":"ok","kind":"healed"}`,
      `{${head},"type":"info","kind":"exempt","input":{"unsafeFlush":"t"}}`,
      `{${head},"type":"info","kind":"exempt","input":{"logStarts":{"t/0":"1"}}}`,
    ]) {
      const file = path.join(folder, 'bad');
      fs.writeFileSync(file, `\n${line}\n`);
      assert.throws(() => [...readRecordFile(file)], { code: 'INVALID_REQUEST', message: /line 2 is no event/ }, line);
    }
  });
});

describe('npm run check:history', () => {
  const run = (...parameters: readonly string[]) => {
    const program = fileURLToPath(new URL('./main.ts', import.meta.url));
    const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...parameters], { encoding: 'utf8' });
    return { status, stdout, stderr };
  };
  const lost = new WrittenHistory()
    .send(['a'], [0])
    .send(['b'], [1])
    .poll(9, [[1, 'b']]);

  test('a table with the evidence, and code 1', () => {
    const { status, stdout } = run(write('lost', lost.events));
    assert.equal(status, 1);
    assert.match(stdout, /^lost-write +1 +0$/m);
    assert.match(stdout, /^ {4}\[0\.0, 1\.0\] process 1 send t\/0 a: acknowledged at 0$/m);
    assert.match(stdout, /NOT WELL\n$/);
  });

  test('JSON, and code 0', () => {
    const { status, stdout } = run(write('good', lost.poll(8, [[0, 'a']]).events), '-o', 'json');
    assert.equal(status, 0);
    assert.deepEqual(JSON.parse(stdout).anomalies['lost-write'], { found: 0, exempt: 0 });
  });

  test('what it cannot judge is code 2', () => {
    for (const parameters of [[], ['missing'], [write('one', lost.events), '-o', 'xml'], ['a', 'b']]) {
      const { status, stderr } = run(...parameters);
      assert.equal(status, 2, parameters.join(' '));
      assert.match(stderr, /^check:history: /);
    }
  });
});
