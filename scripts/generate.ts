/** Generates gen/es from proto/ and docs/errors.md from the catalogue. Both are committed; `check` compares. */
import { writeFileSync } from 'node:fs';
import { errorsPage, errorsPagePath } from './errors-page.ts';
import { runTool } from './tools.ts';

writeFileSync(errorsPagePath, errorsPage());
process.exitCode = (await runTool('buf', ['generate'], { show: true })).code;
