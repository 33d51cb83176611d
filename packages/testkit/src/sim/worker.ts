/** A worker thread of the simulator: one task after the other, as they come. */
import { parentPort } from 'node:worker_threads';
import { perform, type Task } from './tasks.ts';

// Errors are part of every run, and their stacks cost more than all that is compared.
Error.stackTraceLimit = 0;

parentPort?.on('message', (task: Task) => {
  // What it throws ends the worker, which the other side hears of.
  void perform(task).then((done) => parentPort?.postMessage(done));
});
