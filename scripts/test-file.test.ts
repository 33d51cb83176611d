import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { type FileResult, formatFailure, runTestFile } from './test-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'fleetmq-test-file-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

function run(body: string, timeoutMs = 60_000): Promise<FileResult> {
  const file = join(folder, `${++files}.test.ts`);
  writeFileSync(file, `import { test, describe, before } from 'node:test';\n${body}\n`);
  return runTestFile(file, timeoutMs);
}

const counts = ({ passed, failed, skipped }: FileResult): readonly number[] => [passed, failed, skipped];

describe('the verdict on a test file', () => {
  test('counts what passed, failed and was skipped; suites do not count', async () => {
    const result = await run(`
      test('a', () => {});
      test('b', () => { console.log('printed'); throw new Error('broken', { cause: new Error('deep') }); });
      test('c', { skip: true }, () => {});
      test('d', { todo: true }, () => { throw new Error('later'); });
      describe('s', () => { test('e', () => {}); test('f', () => { throw new Error('inner'); }); });`);
    assert.deepEqual(counts(result), [2, 2, 2]);
    assert.deepEqual(
      result.failures.map((failure) => failure.name),
      ['b', 'f'],
    );
    assert.match(result.output, /printed/);
    assert.match(formatFailure(result.failures[0] as never), /FAILED {2}b\n {2}at .*1\.test\.ts:4\n.*broken.*deep/s);
  });

  test('a file that cannot be loaded, or ends early, has failed', async () => {
    const unloadable = await run(`import './nothing.ts';`);
    assert.deepEqual(counts(unloadable), [0, 1, 0]);
    assert.match(unloadable.output, /Cannot find module/);
    assert.deepEqual(counts(await run(`test('a', () => process.exit(0));`)), [0, 1, 0]);
    assert.deepEqual(counts(await run(`test('a', () => process.kill(process.pid, 'SIGKILL'));`)), [0, 1, 0]);
  });

  test('an error after the tests, or in a hook, has failed', async () => {
    const late = await run(`test('a', () => { setTimeout(() => { throw new Error('late'); }, 20); });`);
    assert.ok(late.failed >= 1, JSON.stringify(late));
    const hook = await run(
      `describe('s', () => { before(() => { throw new Error('hook'); }); test('a', () => {}); });`,
    );
    assert.ok(hook.failed >= 1, JSON.stringify(hook));
    assert.match(hook.failures.map(formatFailure).join('\n'), /hook/);
  });

  test('a file that does not end is ended, with the processes that it started', async () => {
    const result = await run(
      `import { spawn } from 'node:child_process';
       test('a', () => {
         const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
         console.log('child ' + child.pid);
         setInterval(() => {}, 1000);
       });`,
      1_500,
    );
    assert.ok(result.failed >= 1);
    assert.match(result.failures.map((failure) => failure.error).join('\n'), /did not end in time/);
    const pid = Number(/child (\d+)/.exec(result.output)?.[1]);
    await waitUntilGone(pid);
  });
});

async function waitUntilGone(pid: number): Promise<void> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ESRCH');
      return;
    }
    assert.ok(Date.now() < deadline, `process ${pid} is still there`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
