/** A disk whose files tell how long each sync took, for metrics, and each write that is one. Everything else goes straight through. */
import type { Clock, Disk, DiskFile } from '@fleetmq/shared';

export function timedDisk(disk: Disk, clock: Clock, onSync: (durationMs: number) => void): Disk {
  return {
    open: async (path, mode, options) => timedFile(await disk.open(path, mode, options), clock, onSync),
    list: (folder) => disk.list(folder),
    readFile: (path) => disk.readFile(path),
    writeFileAtomic: (path, bytes) => disk.writeFileAtomic(path, bytes),
    makeFolder: (path) => disk.makeFolder(path),
    rename: (source, target) => disk.rename(source, target),
    remove: (path) => disk.remove(path),
    syncFolder: (path) => disk.syncFolder(path),
    freeBytes: () => disk.freeBytes(),
  };
}

function timedFile(file: DiskFile, clock: Clock, onSync: (durationMs: number) => void): DiskFile {
  const timed = async (work: () => Promise<void>): Promise<void> => {
    const startMs = clock.monotonicMs();
    await work();
    onSync(clock.monotonicMs() - startMs);
  };
  const { writesAreDurable = false } = file;
  return {
    path: file.path,
    writesAreDurable,
    write(buffers, position) {
      const write = (): Promise<void> => file.write(buffers, position);
      return writesAreDurable ? timed(write) : write();
    },
    read: (position, length, into) => file.read(position, length, into),
    sync: () => timed(() => file.sync()),
    truncate: (size) => file.truncate(size),
    preallocate: (size) => file.preallocate(size),
    size: () => file.size(),
    close: () => file.close(),
  };
}
