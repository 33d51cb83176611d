/** A disk whose files tell how long each sync took, for metrics. Everything else goes straight through. */
import type { Clock, Disk, DiskFile, OpenMode } from '@fleetmq/shared';

export function timedDisk(disk: Disk, clock: Clock, onSync: (durationMs: number) => void): Disk {
  return {
    open: async (path: string, mode: OpenMode) => timedFile(await disk.open(path, mode), clock, onSync),
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
  return {
    path: file.path,
    write: (buffers, position) => file.write(buffers, position),
    read: (position, length, into) => file.read(position, length, into),
    async sync() {
      const startMs = clock.monotonicMs();
      await file.sync();
      onSync(clock.monotonicMs() - startMs);
    },
    truncate: (size) => file.truncate(size),
    preallocate: (size) => file.preallocate(size),
    size: () => file.size(),
    close: () => file.close(),
  };
}
