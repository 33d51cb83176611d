#!/usr/bin/env node
/** The `fleetmq` program. Sets the exit code and lets the process end by itself, so that output is not cut off. */
import { run } from './program.ts';
import { processTerminal } from './terminal.ts';

process.exitCode = await run(processTerminal(), process.argv.slice(2));
// A pipe on stdin that nobody reads any more must not keep the process.
process.stdin.destroy();
