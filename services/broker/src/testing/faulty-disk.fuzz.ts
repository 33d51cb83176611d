/** A disk that fails when it is told to: the first writes or syncs of files whose path matches. */
import { type Disk, type DiskFile, DomainError } from '@fleetmq/shared';

export class FaultyDisk {
  /** Paths of segments whose next syncs fail. */
  failSyncOf: RegExp | undefined;
  /** Paths of segments whose writes find the disk full. */
  fullFor: RegExp | undefined;
  /** Paths of segments that cannot be read. */
  failReadOf: RegExp | undefined;
  /** Waited for before a write finds the disk full. */
  beforeFull: () => Promise<void> = () => Promise.resolve();

  readonly wrap = (disk: Disk): Disk => ({
    ...bound(disk),
    open: async (path, mode, options) => this.#wrapFile(await disk.open(path, mode, options)),
  });

  #wrapFile(file: DiskFile): DiskFile {
    return {
      path: file.path,
      write: async (buffers, position) => {
        if (this.fullFor?.test(file.path) === true) {
          await this.beforeFull();
          throw new DomainError('DISK_FULL', `${file.path}: no space left`);
        }
        await file.write(buffers, position);
      },
      sync: async () => {
        if (this.failSyncOf?.test(file.path) === true) throw new DomainError('STORAGE_FAILED', `${file.path}: EIO`);
        await file.sync();
      },
      read: async (position, length, into) => {
        if (this.failReadOf?.test(file.path) === true) throw new DomainError('STORAGE_FAILED', `${file.path}: EIO`);
        return file.read(position, length, into);
      },
      truncate: (size) => file.truncate(size),
      preallocate: (size) => file.preallocate(size),
      size: () => file.size(),
      close: () => file.close(),
    };
  }
}

function bound(disk: Disk): Disk {
  return {
    open: (path, mode, options) => disk.open(path, mode, options),
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
