/** A follower is stopped and started again on its data. */
import type { ControllerFleet } from './fleet.ts';

/** Milliseconds from the start of the process. */
export interface RestartResult {
  /** Until its listeners are open. */
  readonly readyMs: number;
  /** Until it has applied all that is committed. */
  readonly caughtUpMs: number;
}

export async function measureRestart(bench: ControllerFleet): Promise<RestartResult> {
  const leader = await bench.leader();
  const follower = bench.controllers.find(({ id }) => id !== leader.id);
  if (follower === undefined) throw new Error('there is no follower');
  await bench.fleet.processes.kill('controller', follower.id, 'SIGTERM');
  const startMs = performance.now();
  const restarted = await bench.fleet.processes.restart('controller', follower.id);
  const readyMs = performance.now() - startMs;
  await bench.caughtUp([restarted]);
  return { readyMs, caughtUpMs: performance.now() - startMs };
}
