/** Formats the sources and applies Biome's safe fixes, here or to the paths given. */
import { runTool } from './tools.ts';

const paths = process.argv.slice(2);
process.exitCode = (
  await runTool('biome', ['check', '--write', ...(paths.length > 0 ? paths : ['.'])], { show: true })
).code;
