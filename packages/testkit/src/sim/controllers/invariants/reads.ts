/** Linearizable reads: one that comes when a majority is in a newer term already can never be confirmed (J22). */
import type { ControllerNode } from '@fleetmq/controller/sim';
import type { SimProcess } from '../../process.ts';
import type { World } from '../world.ts';
import { hardStateOf, type Observed, quorumOf } from './observed.ts';

/** Puts itself before the reads of this life. */
export function watchReads(
  world: World,
  observed: readonly Observed[],
  { id, node, process }: { readonly id: number; readonly node: ControllerNode; readonly process: SimProcess },
): void {
  const { driver, reads } = node;
  const late = new Set<string>();
  const ask = driver.readIndex.bind(driver);
  driver.readIndex = (context) => {
    const { term } = driver.leadership;
    const newer = observed.filter((each) => (hardStateOf(each)?.term ?? 0) > term).length;
    if (newer >= quorumOf(observed.length)) late.add(context.join());
    return ask(context);
  };
  const confirmed = reads.confirmed.bind(reads);
  reads.confirmed = (state) => {
    if (process.isAlive && late.has(state.context.join())) {
      world.fail('safety', 'a read is confirmed by a majority of its term', `controller ${id}, index ${state.index}`);
    }
    confirmed(state);
  };
}
