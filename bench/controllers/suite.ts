/** The suite `controllers`: its parts in their order. Results are saved after each of them. */
import { join } from 'node:path';
import { describeMachine, loadNow } from '../machine.ts';
import type { SuiteOptions } from '../suite.ts';
import { measureElections } from './elections.ts';
import { measureOperations } from './operations.ts';
import { type PartOptions, say } from './part.ts';
import { measurePartitions } from './partitions.ts';
import { formatPart, loadReport, type PartReport, type PartResult, saveReport } from './report.ts';
import { measureSnapshots } from './snapshots.ts';
import { measureTopics } from './topics.ts';

const parts: Readonly<Record<string, (options: PartOptions) => Promise<PartResult>>> = {
  elections: measureElections,
  operations: measureOperations,
  topics: measureTopics,
  snapshots: measureSnapshots,
  partitions: measurePartitions,
};

export async function benchControllers({ folder, runs, scale, out, only }: SuiteOptions): Promise<void> {
  for (const name of only) if (!(name in parts)) throw new Error(`there is no part "${name}" in this suite`);
  for (const [name, measure] of Object.entries(parts)) {
    if (only.length > 0 && !only.includes(name)) continue;
    say(`${name} ...`);
    const before = loadNow();
    const result = await measure({ folder: join(folder, name), runs, scale });
    const part: PartReport = {
      at: new Date().toISOString(),
      machine: describeMachine(),
      node: process.version,
      runs,
      scale,
      load: [before, loadNow()],
      ...result,
    };
    process.stdout.write(`${formatPart(name, part)}\n\n`);
    const report = { ...(await loadReport(out)), [name]: part };
    const sorted = Object.keys(parts).flatMap((each) => (report[each] === undefined ? [] : [[each, report[each]]]));
    await saveReport(out, Object.fromEntries(sorted));
  }
}
