/**
 * The mark of a clean stop: a file that is there exactly when the last life of this folder closed all its logs in order. It
 * is taken away, durably, before anything else is done with the folder; a crash therefore always looks like one (P14).
 */
import type { Disk } from '@fleetmq/shared';

const fileName = 'clean';

/** Whether the last stop was clean. The mark is gone when this resolves. */
export async function takeCleanMark(disk: Disk): Promise<boolean> {
  const mark = await disk.readFile(fileName);
  if (mark === undefined) return false;
  await disk.remove(fileName);
  await disk.syncFolder('');
  return true;
}

export async function leaveCleanMark(disk: Disk): Promise<void> {
  await disk.writeFileAtomic(fileName, new TextEncoder().encode('clean\n'));
}
