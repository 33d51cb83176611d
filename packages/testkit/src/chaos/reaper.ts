/** Waits until the process at the other end of stdin is gone, then empties its slot. `node reaper.ts NUMBER`; see slot.ts. */
import { emptySlot, lockSlot } from './slot.ts';

const number = Number(process.argv[2]);
process.stdin.resume();
process.stdin.once('close', () => void reap());

/** Unless another run has the slot by now, which has emptied it first. */
async function reap(): Promise<void> {
  const lock = await lockSlot(number);
  if (lock !== undefined) await emptySlot(number);
}
