/**
 * `node packages/raft/src/transcripts-main.ts FOLDER` runs all transcripts (*.txt) below FOLDER, at any depth, and prints
 * for each folder and level how many passed and failed, and for each failed file the first block that differs.
 * With UPDATE=1 files are rewritten with the actual output; review the change as you would review code.
 * Exit code: 1 when a file failed on level 1 (log lines aside), 2 for wrong usage, else 0.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describeDifference, runTranscript } from './interaction/run.ts';

interface Count {
  passed: number;
  failed: number;
}

function main(folder: string | undefined): number {
  if (folder === undefined) {
    console.error('usage: transcripts-main.ts FOLDER');
    return 2;
  }
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.txt'))
    .sort();
  const counts = new Map<string, { level1: Count; level2: Count }>();
  for (const file of files) {
    const path = join(folder, file);
    const result = runTranscript(readFileSync(path, 'utf8'));
    if (process.env['UPDATE'] === '1') writeFileSync(path, result.updated);
    const key = dirname(file);
    const count = counts.get(key) ?? { level1: { passed: 0, failed: 0 }, level2: { passed: 0, failed: 0 } };
    counts.set(key, count);
    count.level1[result.level1 === undefined ? 'passed' : 'failed']++;
    count.level2[result.level2 === undefined ? 'passed' : 'failed']++;
    const first = result.level1 ?? result.level2;
    if (first === undefined) continue;
    const level = result.level1 === undefined ? 'L2' : 'L1';
    console.log(`--- ${relative('.', path)} differs on ${level}\n${describeDifference(first)}`);
  }
  const total: Count = { passed: 0, failed: 0 };
  for (const [key, { level1, level2 }] of counts) {
    console.log(`${key}/ L1: ${level1.passed} passed, ${level1.failed} failed`);
    console.log(`${key}/ L2: ${level2.passed} passed, ${level2.failed} failed`);
    total.passed += level1.passed;
    total.failed += level1.failed;
  }
  if (files.length === 0) {
    console.error(`${folder} holds no transcripts (*.txt)`);
    return 2;
  }
  return total.failed > 0 ? 1 : 0;
}

process.exitCode = main(process.argv[2]);
