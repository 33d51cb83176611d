/**
 * Faults on real controllers in network namespaces, while clients change topics and settings: what they were told is
 * linearizable, nothing that was acknowledged is lost, and changes go on in time. `npm run chaos` is the long form; see
 * docs/chaos.md. FLEETMQ_CHAOS_SEED repeats the choices of a run.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatSummary, missingRequirement, runChaos } from '@fleetmq/testkit/chaos';

const seed = Number(process.env['FLEETMQ_CHAOS_SEED'] ?? Date.now() % 1_000_000);
const missing = await missingRequirement();

test(`the leader killed, paused, cut off in one direction; fsync fails; seed ${seed}`, {
  skip: missing ?? false,
  timeout: 180_000,
}, async (t) => {
  const out = mkdtempSync(join(tmpdir(), 'fleetmq-chaos-'));
  const lines: string[] = [];
  const summary = await runChaos({
    ...{ seed, controllers: 3, minutes: 1, out },
    faults: ['kill-leader', 'pause-leader', 'one-way-leader', 'failing-fsync'],
    lastsMaxMs: 4_000,
    slackMs: 5_000,
    print: (line) => lines.push(line),
  });
  lines.push(...formatSummary(summary));
  for (const line of lines) t.diagnostic(line);
  const ended = Object.keys(summary.counts).filter((what) => what.includes('after a failed fsync'));
  assert.equal(ended.length, 1, 'an fsync has failed, and its controller has ended');
  assert.ok(summary.isGood, `${lines.join('\n')}\nhistory and logs: ${out}`);
  rmSync(out, { recursive: true });
});
