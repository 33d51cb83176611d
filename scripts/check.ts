/**
 * `npm run check`: everything that can be judged without running the product. Formatting, lint and architecture (Biome),
 * types, the contract (lint, and compatibility with every image in proto/baseline), generated code, unused code (knip).
 * All checks run, whatever fails; then come the output of those that failed and a table. Exit code 1 if any failed.
 */
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorsPage, errorsPagePath } from './errors-page.ts';
import { formatSeconds, root, runTool, type ToolResult } from './tools.ts';
import { checkTypes } from './types.ts';

interface Check {
  readonly name: string;
  readonly run: () => Promise<ToolResult>;
}

const baselines = globSync('proto/baseline/*.binpb', { cwd: root }).sort();
const checks: readonly Check[] = [
  { name: 'format, lint, fence', run: () => runTool('biome', ['ci', '--colors=off', '--max-diagnostics=60', '.']) },
  { name: 'types', run: checkTypes },
  { name: 'contract: lint', run: () => runTool('buf', ['lint']) },
  ...baselines.map((baseline) => ({
    name: `contract: ${baseline.replace(/.*\/|\.binpb$/g, '')}`,
    run: () => runTool('buf', ['breaking', '--against', baseline]),
  })),
  { name: 'contract: baseline', run: requireBaseline },
  { name: 'generated code', run: compareGenerated },
  { name: 'page of errors', run: compareErrorsPage },
  { name: 'unused code', run: () => runTool('knip', ['--treat-config-hints-as-errors']) },
];

let failed = 0;
const table: string[] = [];
for (const check of checks) {
  const result = await check.run();
  const passed = result.code === 0;
  if (!passed) {
    failed++;
    process.stdout.write(`\n== ${check.name}\n${result.output.trimEnd()}\n\n`);
  }
  table.push(`${check.name.padEnd(24)} ${passed ? 'passed' : 'FAILED'} ${formatSeconds(result.tookMs).padStart(8)}`);
}
process.stdout.write(`${table.join('\n')}\nchecks: ${checks.length - failed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;

/** Compatibility is promised against images; without one, the check above would pass by not being there. */
async function requireBaseline(): Promise<ToolResult> {
  const missing = baselines.includes(join('proto', 'baseline', 'design.binpb'))
    ? ''
    : 'proto/baseline/design.binpb is missing';
  return { code: missing === '' ? 0 : 1, output: missing, tookMs: 0 };
}

/** docs/errors.md is what the catalogue says. */
async function compareErrorsPage(): Promise<ToolResult> {
  const equal = existsSync(errorsPagePath) && readFileSync(errorsPagePath, 'utf8') === errorsPage();
  return { code: equal ? 0 : 1, output: equal ? '' : 'run `npm run generate` and commit docs/errors.md', tookMs: 0 };
}

/** Generates into a scratch folder and compares with gen/es, file by file. */
async function compareGenerated(): Promise<ToolResult> {
  const scratch = mkdtempSync(join(tmpdir(), 'fleetmq-generated-'));
  try {
    const result = await runTool('buf', ['generate', '--output', scratch]);
    if (result.code !== 0) return result;
    const differing = differingFiles(join(scratch, 'gen', 'es'), join(root, 'gen', 'es'));
    const advice = 'run `npm run generate` and commit gen/es. Differing files:\n';
    return differing.length === 0 ? result : { ...result, code: 1, output: advice + differing.join('\n') };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function differingFiles(fresh: string, committed: string): readonly string[] {
  const freshFiles = globSync('**/*.ts', { cwd: fresh });
  const committedFiles = globSync('**/*.ts', { cwd: committed });
  const all = [...new Set([...freshFiles, ...committedFiles])].sort();
  return all.filter((file) => {
    if (!freshFiles.includes(file) || !committedFiles.includes(file)) return true;
    return !readFileSync(join(fresh, file)).equals(readFileSync(join(committed, file)));
  });
}
