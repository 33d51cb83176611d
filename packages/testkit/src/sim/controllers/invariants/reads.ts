/** Linearizable reads: one that comes when a majority is in a newer term already can never be confirmed (J22). */
import type { ControllerNode } from '@fleetmq/controller/sim';
import { isBlocking } from '../quorums.ts';
import type { World } from '../world.ts';
import { hardStateOf, nameOf, type Observed, type ObservedDisks } from './observed.ts';

/** Puts itself before the reads of this life. */
export function watchReads(world: World, disks: ObservedDisks, seen: Observed, node: ControllerNode): void {
  const { driver, reads, stateMachine } = node;
  const { process } = seen;
  const late = new Set<string>();
  const ask = driver.readIndex.bind(driver);
  driver.readIndex = (context) => {
    const { term } = driver.leadership;
    const { membership } = stateMachine;
    const isNewer = (id: number): boolean => {
      const holder = disks.holderOf(id, { membership });
      return holder !== undefined && hardStateOf(holder).term > term;
    };
    if (isBlocking(driver.confState, isNewer)) late.add(context.join());
    return ask(context);
  };
  const confirmed = reads.confirmed.bind(reads);
  reads.confirmed = (state) => {
    if (process?.isAlive === true && late.has(state.context.join())) {
      world.fail('safety', 'a read is confirmed by a majority of its term', `${nameOf(seen)}, index ${state.index}`);
    }
    confirmed(state);
  };
}
