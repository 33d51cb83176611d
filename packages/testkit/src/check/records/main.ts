/**
 * `npm run check:history -- FILE [-o json] [--findings N] [--lag-max-ms N]`: judges a history of records that was kept
 * (docs/simulation.md). `--findings` is how many of each name are shown, `--lag-max-ms` how late a poll may be after healing. Exit code 0:
 * all is well; 1: something was found; 2: a flag is wrong, or the file is no history of records.
 */
import { parseArgs } from 'node:util';
import { checkRecords } from './check-records.ts';
import { readRecordFile } from './record-file.ts';
import { formatReport } from './report.ts';

try {
  process.exitCode = main();
} catch (error) {
  process.stderr.write(`check:history: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}

function main(): number {
  const { values, positionals } = parseArgs({
    options: {
      output: { type: 'string', short: 'o', default: 'table' },
      findings: { type: 'string', default: '8' },
      'lag-max-ms': { type: 'string', default: 'Infinity' },
    },
    allowPositionals: true,
  });
  const [file, ...others] = positionals;
  if (file === undefined || others.length > 0) throw new Error('expected one file');
  if (values.output !== 'table' && values.output !== 'json') {
    throw new Error(`-o is ${values.output}, expected table or json`);
  }
  const findingsMax = toNumber('findings', values.findings);
  const lagMaxMs = toNumber('lag-max-ms', values['lag-max-ms']);
  const report = checkRecords(readRecordFile(file), { findingsMax, lagMaxMs });
  const lines = values.output === 'json' ? [JSON.stringify(report, null, 2)] : formatReport(report);
  for (const line of lines) process.stdout.write(`${line}\n`);
  return report.isGood ? 0 : 1;
}

function toNumber(flag: string, text: string): number {
  const number = Number(text);
  if (!(number >= 0)) throw new Error(`--${flag} is ${text}, expected a number`);
  return number;
}
