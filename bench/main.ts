/**
 * `npm run bench`: measures the product on this machine, with real processes on a real disk. The suite `data` is one client and
 * one broker; `controllers` is the metadata quorum. Figures are printed and written below `bench/results`.
 *
 *   npm run bench -- [--suite data|controllers] [--only PART,...] [--runs 3] [--scale 1] [--out bench/results] [--folder DIR]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { benchControllers } from './controllers/suite.ts';
import { benchDataPath } from './data-path.ts';
import { refuseMemoryFolder } from './machine.ts';
import type { SuiteOptions } from './suite.ts';

const suites: Readonly<Record<string, (options: SuiteOptions) => Promise<void>>> = {
  data: benchDataPath,
  controllers: benchControllers,
};

const { values: flags } = parseArgs({
  options: {
    suite: { type: 'string', default: 'data' },
    only: { type: 'string', default: '' },
    runs: { type: 'string', default: '3' },
    scale: { type: 'string', default: '1' },
    out: { type: 'string', default: 'bench/results' },
    folder: { type: 'string', default: tmpdir() },
  },
});
const suite = suites[flags.suite];
if (suite === undefined) throw new Error(`there is no suite "${flags.suite}": ${Object.keys(suites).join(', ')}`);

refuseMemoryFolder(flags.folder);
const folder = await mkdtemp(join(flags.folder, 'fleetmq-bench-'));
try {
  const only = flags.only.split(',').filter((part) => part !== '');
  await suite({ folder, runs: Number(flags.runs), scale: Number(flags.scale), out: flags.out, only });
} finally {
  await rm(folder, { recursive: true, force: true });
}
