/** Checks all types and writes the declarations to dist/. The product itself runs from its sources. */
import { runTool } from './tools.ts';

process.exitCode = (await runTool('tsc', ['-b'], { show: true })).code;
