/**
 * Runs one test file in a process of its own. The process leads its own group, so that a file that overruns its time is
 * ended together with whatever it started. A verdict is never guessed: without the reporter's totals the file has failed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ReportLine } from './test-reporter.ts';
import { formatSeconds, root } from './tools.ts';

const reporter = fileURLToPath(new URL('./test-reporter.ts', import.meta.url));
const OUTPUT_BYTES_MAX = 256 * 1024;
const KILL_AFTER_MS = 5_000;
/** How long to wait for output after the end, should a process outside the group still hold the pipes. */
const PIPES_CLOSE_MS = 5_000;
const running = new Set<ChildProcess>();

export interface Failure {
  readonly name: string;
  readonly place: string;
  readonly error: string;
}

export interface FileResult {
  readonly file: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly failures: readonly Failure[];
  /** The last 256 KiB that the file printed. */
  readonly output: string;
  readonly tookMs: number;
}

/** `file` is relative to the workspace root. Never rejects because of what the file does. */
export async function runTestFile(file: string, timeoutMs: number): Promise<FileResult> {
  const folder = mkdtempSync(join(tmpdir(), 'fleetmq-test-report-'));
  const reportPath = join(folder, 'report.ndjson');
  const started = performance.now();
  try {
    const ending = await execute(file, reportPath, timeoutMs);
    return {
      ...judge(file, readReport(reportPath), ending),
      output: ending.output,
      tookMs: performance.now() - started,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Ends every test process that runs now, with what it started. */
export function stopRunningTests(): void {
  for (const child of running) signalGroup(child, 'SIGKILL');
}

interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly overran: boolean;
  readonly output: string;
}

function execute(file: string, reportPath: string, timeoutMs: number): Promise<Ending> {
  const child = spawn(
    process.execPath,
    [`--test-reporter=${reporter}`, `--test-reporter-destination=${reportPath}`, '--enable-source-maps', file],
    {
      cwd: root,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE_ENV: 'test', NODE_TEST_CONTEXT: undefined },
    },
  );
  running.add(child);
  const output = collect(child);
  let overran = false;
  const deadline = setTimeout(() => {
    overran = true;
    signalGroup(child, 'SIGTERM');
    setTimeout(() => signalGroup(child, 'SIGKILL'), KILL_AFTER_MS).unref();
  }, timeoutMs);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      clearTimeout(deadline);
      running.delete(child);
      // What the file started and left behind would hold the pipes open: it goes too.
      signalGroup(child, 'SIGKILL');
      const ending = (): void => resolve({ code, signal, overran, output: output() });
      child.on('close', ending);
      setTimeout(ending, PIPES_CLOSE_MS).unref();
    });
  });
}

function collect(child: ChildProcess): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  const take = (chunk: Buffer): void => {
    chunks.push(chunk);
    size += chunk.length;
    while (size > OUTPUT_BYTES_MAX && chunks.length > 1) size -= (chunks.shift() as Buffer).length;
  };
  child.stdout?.on('data', take);
  child.stderr?.on('data', take);
  return () => Buffer.concat(chunks).toString();
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch (error) {
    // ESRCH: the whole group has ended already, which is what the caller wants.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function readReport(path: string): readonly ReportLine[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  return whole
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as ReportLine);
}

function judge(file: string, lines: readonly ReportLine[], ending: Ending): Omit<FileResult, 'output' | 'tookMs'> {
  const failures: Failure[] = lines.filter((line) => line.kind === 'failure');
  const totals = lines.find((line) => line.kind === 'totals');
  const wrong = whatWentWrong(ending, totals?.failed, failures.length);
  if (wrong !== undefined) failures.push({ name: 'the whole file', place: file, error: wrong });
  return {
    file,
    passed: totals?.passed ?? 0,
    failed: Math.max(totals?.failed ?? 0, failures.length),
    skipped: totals?.skipped ?? 0,
    failures,
  };
}

function whatWentWrong(ending: Ending, failed: number | undefined, failures: number): string | undefined {
  if (ending.overran)
    return 'did not end in time: a timer, socket or child process was left open, or a wait has no end';
  if (ending.signal !== null) return `ended by ${ending.signal}`;
  if (failed === undefined) return `ended with code ${ending.code} before its tests were done`;
  if (ending.code !== 0 && failed + failures === 0)
    return `all tests passed, but the process ended with code ${ending.code}`;
  return undefined;
}

/** One failure as text, with the place first, so that terminals link it. */
export function formatFailure(failure: Failure): string {
  const place = failure.place.startsWith(root) ? failure.place.slice(root.length) : failure.place;
  return `FAILED  ${failure.name}\n  at ${place}\n${failure.error.replace(/^/gm, '  ')}`;
}

export function formatSlowFiles(results: readonly FileResult[], overMs: number): string {
  const slow = results.filter((result) => result.tookMs > overMs).sort((left, right) => right.tookMs - left.tookMs);
  return slow.map((result) => `${result.file} ${formatSeconds(result.tookMs)}`).join(', ');
}
