/** The parts of the core that planted bugs patch from the outside. For `@fleetmq/testkit` alone. */
export { RaftLog } from '../log.ts';
export { ReadQueue } from '../read-queue.ts';
export { Tracker } from '../tracker.ts';
export { Unstable } from '../unstable.ts';
