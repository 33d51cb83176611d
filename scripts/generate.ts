/** Generates gen/es from proto/. The output is committed; `check` generates again and compares. */
import { runTool } from './tools.ts';

process.exitCode = (await runTool('buf', ['generate'], { show: true })).code;
