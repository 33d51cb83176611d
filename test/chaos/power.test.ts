/**
 * Brokers lose their power under load, all at once and one alone: nothing acknowledged is lost, nothing is stored twice, and all
 * replicas are the same. `npm run power` is the long form; see docs/chaos.md. FLEETMQ_POWER_SEED repeats the choices of a run.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatSummary, missingRequirement, runPower } from '@fleetmq/testkit/power';

const seed = Number(process.env['FLEETMQ_POWER_SEED'] ?? Date.now() % 1_000_000);
const missing = await missingRequirement();

test(`the power of all brokers, then of one is lost; seed ${seed}`, {
  skip: missing ?? false,
  timeout: 180_000,
}, async (t) => {
  const out = mkdtempSync(join(tmpdir(), 'fleetmq-power-'));
  const lines: string[] = [];
  const print = (line: string): void => void lines.push(line);
  const summary = await runPower({ seed, rounds: 2, kinds: ['all', 'one'], out, print });
  lines.push(...formatSummary(summary));
  for (const line of lines) t.diagnostic(line);
  assert.equal(summary.rounds, 2);
  assert.ok(summary.isGood, `${lines.join('\n')}\nhistory, logs and data: ${out}`);
  rmSync(out, { recursive: true });
});
