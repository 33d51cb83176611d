/** Changes of the members: a leader adds one only when the one before is committed. */
import type { Entry } from '@fleetmq/raft';
import type { World } from '../world.ts';
import type { Observed } from './observed.ts';

export class Members {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** A node has written this change of the members. */
  wrote(seen: Observed, { index, term }: Entry): void {
    const { node, lastConfIndex } = seen;
    seen.lastConfIndex = index;
    if (node === undefined || !seen.leads || term !== node.driver.leadership.term || lastConfIndex >= index) return;
    this.#world.counts.add('changes of members proposed');
    const { commit } = node.driver.status();
    if (lastConfIndex <= commit) return;
    const text = `controller ${seen.id} adds ${index} behind ${lastConfIndex}, committed is ${commit}`;
    this.#world.fail('safety', 'one uncommitted configuration', text);
  }
}
