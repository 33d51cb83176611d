/**
 * `npm test [path filter...]`: the type check, then every test of the repository: first the ones beside the code, two
 * files at a time, then those below test/, one at a time, since a fleet keeps a small machine busy by itself. With filters
 * (parts of file paths) only matching files run, without the type check.
 * The last line is always `N passed, N failed`, with `, N skipped` if there are any; the exit code is 1 if any failed.
 */
import { globSync } from 'node:fs';
import { type FileResult, formatFailure, formatSlowFiles, runTestFile, stopRunningTests } from './test-file.ts';
import { formatSeconds, root } from './tools.ts';
import { checkTypes } from './types.ts';

const filters = process.argv.slice(2);
const totals = { passed: 0, failed: 0, skipped: 0 };
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    stopRunningTests();
    process.kill(process.pid, signal);
  });
}

const beside = testFiles(['packages', 'services', 'apps', 'gen', 'scripts', 'bench']);
const across = testFiles(['test']);
if (filters.length === 0) await runTypeCheck();
await runFiles(beside, { concurrency: 2, fileTimeoutMs: 120_000 });
await runFiles(across, { concurrency: 1, fileTimeoutMs: 300_000 });
if (beside.length + across.length === 0) {
  totals.failed++;
  print(`no test file matches ${filters.join(' ')}`);
}
process.exitCode = totals.failed === 0 ? 0 : 1;
print(`${totals.passed} passed, ${totals.failed} failed${totals.skipped === 0 ? '' : `, ${totals.skipped} skipped`}`);

function testFiles(folders: readonly string[]): string[] {
  const exclude = (path: string): boolean => /(^|\/)(node_modules|dist)(\/|$)/.test(path);
  const files = folders.flatMap((folder) => globSync(`${folder}/**/*.test.ts`, { cwd: root, exclude }));
  return files.filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter))).sort();
}

async function runTypeCheck(): Promise<void> {
  const types = await checkTypes();
  if (types.code === 0) totals.passed++;
  else totals.failed++;
  if (types.code !== 0) print(types.output);
  printGroup('type check', types.code === 0 ? '1 passed' : '1 FAILED', types.tookMs);
}

async function runFiles(
  files: readonly string[],
  options: { concurrency: number; fileTimeoutMs: number },
): Promise<void> {
  const queue = [...files];
  const groups = Map.groupBy(files, groupOf);
  const results = new Map<string, FileResult[]>();
  const work = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const group = groupOf(file);
      const result = await runTestFile(file, options.fileTimeoutMs);
      const soFar = [...(results.get(group) ?? []), result];
      results.set(group, soFar);
      showFailures(result);
      if (soFar.length === groups.get(group)?.length) showGroup(group, soFar);
    }
  };
  await Promise.all(Array.from({ length: options.concurrency }, work));
}

/** `packages/log`, `test/fleet`: the first two folders of a path. */
function groupOf(file: string): string {
  return file.split('/').slice(0, -1).slice(0, 2).join('/');
}

function showFailures(result: FileResult): void {
  totals.passed += result.passed;
  totals.failed += result.failed;
  totals.skipped += result.skipped;
  if (result.failed === 0) return;
  print('', ...result.failures.map(formatFailure));
  if (result.output !== '') print(`  -- printed by ${result.file}:`, result.output.trimEnd().replace(/^/gm, '  | '));
  print('');
}

function showGroup(group: string, results: readonly FileResult[]): void {
  const sum = (pick: (result: FileResult) => number): number => results.reduce((total, each) => total + pick(each), 0);
  const failed = sum((result) => result.failed);
  const skipped = sum((result) => result.skipped);
  const counts = [`${sum((result) => result.passed)} passed`];
  if (failed > 0) counts.push(`${failed} FAILED`);
  if (skipped > 0) counts.push(`${skipped} skipped`);
  const slow = formatSlowFiles(results, 20_000);
  printGroup(
    group,
    counts.join(', '),
    sum((result) => result.tookMs),
    slow === '' ? '' : `slow: ${slow}`,
  );
}

function printGroup(group: string, counts: string, tookMs: number, remark = ''): void {
  print(`${group.padEnd(24)} ${counts.padEnd(24)} ${formatSeconds(tookMs).padStart(8)}  ${remark}`.trimEnd());
}

function print(...lines: readonly string[]): void {
  for (const line of lines) process.stdout.write(`${line}\n`);
}
