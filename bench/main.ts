/**
 * `npm run bench`: measures the product on this machine, with real processes on a real disk. The suites: `data` is what one
 * client gets out of brokers and gateway, `peers` the same for other systems beside it, `ci` a check of a minute against
 * committed ratios, `controllers` the metadata quorum, `plots` makes the pictures and the figures of docs/benchmarks.md anew from
 * results. Figures are printed and written below `bench/results`, pictures below `docs/img`; those of a run that is not the whole
 * suite below `bench/results/scratch`.
 *
 *   npm run bench -- [--suite data|peers|ci|controllers|plots] [--only CASE,...] [--quick] [--runs 3] [--scale 1]
 *                    [--out DIR] [--plots DIR] [--folder DIR] [--update]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { redraw, runSuite } from './case-suite.ts';
import { checkRatios } from './ci.ts';
import { benchControllers } from './controllers/suite.ts';
import { dataSuite } from './data-path.ts';
import { writeDocsPage } from './docs-page.ts';
import { refuseMemoryFolder } from './machine.ts';
import { peersSuite } from './peers/suite.ts';
import { endChildren } from './processes.ts';
import type { SuiteOptions } from './suite.ts';

const suites: Readonly<Record<string, (options: SuiteOptions) => Promise<void>>> = {
  data: (options) => runSuite(dataSuite, options),
  peers: (options) => runSuite(peersSuite, options),
  ci: checkRatios,
  controllers: benchControllers,
  async plots(options) {
    const [data, peers] = [await redraw(dataSuite, options), await redraw(peersSuite, options)];
    await writeDocsPage(options.page, { data, peers });
  },
};

const { values: flags } = parseArgs({
  options: {
    suite: { type: 'string', default: 'data' },
    only: { type: 'string', default: '' },
    quick: { type: 'boolean', default: false },
    runs: { type: 'string' },
    scale: { type: 'string' },
    out: { type: 'string' },
    plots: { type: 'string' },
    folder: { type: 'string', default: tmpdir() },
    update: { type: 'boolean', default: false },
  },
});
const suite = suites[flags.suite];
if (suite === undefined) throw new Error(`there is no suite "${flags.suite}": ${Object.keys(suites).join(', ')}`);

const only = flags.only.split(',').filter((part) => part !== '');
const scale = Number(flags.scale ?? (flags.quick ? 0.1 : 1));
const runs = Number(flags.runs ?? (flags.quick ? 1 : 3));
const whole = 'bench/results';
const isWhole = scale === 1 && only.length === 0;
const out = flags.out ?? (isWhole || flags.suite === 'controllers' ? whole : join(whole, 'scratch'));
const plots = flags.plots ?? (out === whole ? 'docs/img' : out);
const page = join(out === whole ? 'docs' : out, 'benchmarks.md');

refuseMemoryFolder(flags.folder);
const folder = mkdtempSync(join(flags.folder, 'fleetmq-bench-'));
// Also when it is broken off: nothing is left running, nor on the disk.
process.once('exit', () => {
  endChildren();
  rmSync(folder, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
await suite({ folder, runs, scale, calibrates: !flags.quick, out, plots, page, only, update: flags.update });
