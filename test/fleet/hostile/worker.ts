/** The process of all hostile callers, so that their work is not that of the good caller: an order in, a report out. */
import { bombs } from './bombs.ts';
import { frameFloods, resetsOnManyConnections, resetsOnOneConnection } from './floods.ts';
import { lyingBatches } from './lying-batches.ts';
import { lyingFrames } from './lying-frames.ts';
import { closedWindows, slowReaders, slowWriters } from './slow-callers.ts';
import type { HostileOrder, Tally } from './tally.ts';

const kinds: Readonly<Record<string, (order: HostileOrder) => Promise<Tally>>> = {
  'frames that lie': lyingFrames,
  'batches that lie': lyingBatches,
  'decompression bombs': bombs,
  'slow readers': slowReaders,
  'slow writers': slowWriters,
  'resets, one connection': resetsOnOneConnection,
  'resets, 20 connections': resetsOnManyConnections,
  'windows never opened': closedWindows,
  'floods of frames': frameFloods,
};

process.send?.(Object.keys(kinds));
process.on('message', (order: HostileOrder) => {
  void run(order).then((answer) => process.send?.(answer));
});
process.on('disconnect', () => process.exit());

async function run(order: HostileOrder): Promise<unknown> {
  try {
    return (await kinds[order.kind]?.(order))?.report();
  } catch (error) {
    return { failure: error instanceof Error ? `${error.stack}` : String(error) };
  }
}
