/**
 * `node scripts/run.mjs program.ts [arguments]`: sets the workspace up if needed, then runs the TypeScript program with the
 * workspace's Node 24. Arguments, stdio, signals and the exit code pass through, so that callers see the program alone.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { compileCache, nodeBinary, setUp } from './setup.mjs';

const [program, ...programArguments] = process.argv.slice(2);
if (program === undefined) {
  process.stderr.write('usage: node scripts/run.mjs program.ts [arguments]\n');
  process.exit(2);
}
await setUp();

// What Node has compiled once it need not compile again: a command starts in two thirds of the time.
const environment = { NODE_COMPILE_CACHE: compileCache, ...process.env };
const child = spawn(nodeBinary, [program, ...programArguments], { stdio: 'inherit', env: environment });
// From a terminal the program may hear of one Ctrl-C twice, from the terminal and from here; its own handler allows for that.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('error', (error) => {
  process.stderr.write(`run: cannot start ${nodeBinary}: ${error.message}\n`);
  process.exitCode = 1;
});
child.on('exit', (code, signal) => {
  process.exit(signal === null ? code : 128 + constants.signals[signal]);
});
