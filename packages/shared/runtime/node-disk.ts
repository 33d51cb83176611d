/**
 * The Disk port on `node:fs`: a tree of files below one root folder, which belongs to this process alone (see
 * data-folder.ts). Every path is checked before the system sees it: relative, no `..`, no link as its last step. Folders
 * are made with mode 0700, files with 0600. What a rename or a new name needs to survive a power cut is the fsync of its
 * folder, so `makeFolder` and `writeFileAtomic` end with one.
 * Names that end in `~` are this file's own: the temporary side of an atomic write, hidden from `list`. A crash leaves at
 * most one of them per file, and the next write of that file replaces it.
 */
import { constants, promises as fs, open } from 'node:fs';
import { dirname } from 'node:path';
import { assert, type Disk, type DiskFile, DomainError, type OpenMode, type OpenOptions } from '@fleetmq/shared';
import { diskError, errnoOf } from './disk-errors.ts';
import { NodeFile } from './node-file.ts';

export interface NodeDiskOptions {
  /** The longest single read, and the largest file for `readFile`. Default 256 MiB. */
  readonly readBytesMax?: number;
}

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
const PATH_LENGTH_MAX = 1024;
// Windows has neither flag, and no way to sync a folder; it is a place to develop on, not to keep data.
const NO_FOLLOW = constants.O_NOFOLLOW ?? 0;
const ONLY_FOLDER = constants.O_DIRECTORY ?? 0;
// macOS has it, too, but leaves the data in the drive's cache, where its fdatasync in Node does not.
const DURABLE_WRITES = process.platform === 'linux' ? constants.O_DSYNC : 0;
const foldersSync = process.platform !== 'win32';

const openFlags: Record<OpenMode, number> = {
  read: constants.O_RDONLY | NO_FOLLOW,
  'read-write': constants.O_RDWR | NO_FOLLOW,
  create: constants.O_RDWR | constants.O_CREAT | NO_FOLLOW,
};

/** Opens the tree below `root`, which is made if it is absent. */
export async function openNodeDisk(root: string, options: NodeDiskOptions = {}): Promise<Disk> {
  const readBytesMax = options.readBytesMax ?? 256 * 1024 * 1024;
  assert(readBytesMax > 0, `readBytesMax is above 0, not ${readBytesMax}`);
  try {
    const made = await fs.mkdir(root, { recursive: true, mode: FOLDER_MODE });
    const folder = await fs.realpath(root);
    if (made !== undefined) await syncNewFolders(folder, await fs.realpath(made));
    return new NodeDisk(folder, readBytesMax);
  } catch (error) {
    throw diskError('open', root, error);
  }
}

/** Makes the names of new folders durable: each in its parent, from `last` up to `first`. */
async function syncNewFolders(last: string, first: string): Promise<void> {
  for (let folder = last; folder.length >= first.length; folder = dirname(folder)) await syncAbsolute(dirname(folder));
}

async function syncAbsolute(folder: string): Promise<void> {
  if (!foldersSync) return;
  const handle = await fs.open(folder, constants.O_RDONLY | ONLY_FOLDER | NO_FOLLOW);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

class NodeDisk implements Disk {
  readonly #root: string;
  readonly #readBytesMax: number;
  /** The last write of each file that is being replaced: replacements of one file follow each other. */
  readonly #replacing = new Map<string, Promise<void>>();

  constructor(root: string, readBytesMax: number) {
    this.#root = root;
    this.#readBytesMax = readBytesMax;
  }

  async open(path: string, mode: OpenMode, { durableWrites = false }: OpenOptions = {}): Promise<DiskFile> {
    const flags = openFlags[mode] | (durableWrites ? DURABLE_WRITES : 0);
    return this.#openFile(path, checkedPath(path), flags);
  }

  async list(folder: string): Promise<readonly string[]> {
    try {
      const names = await fs.readdir(this.#absolute(checkedFolder(folder)));
      return names.filter((name) => !name.endsWith('~')).sort();
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return [];
      throw diskError('list', folder, error);
    }
  }

  async readFile(path: string): Promise<Uint8Array | undefined> {
    let file: DiskFile;
    try {
      file = await this.open(path, 'read');
    } catch (error) {
      if (error instanceof DomainError && errnoOf(error.cause) === 'ENOENT') return undefined;
      throw error;
    }
    try {
      return await file.read(0, await file.size());
    } finally {
      await file.close();
    }
  }

  writeFileAtomic(path: string, bytes: Uint8Array): Promise<void> {
    const before = this.#replacing.get(path) ?? Promise.resolve();
    // The failure of an earlier replacement is its caller's; this one runs in any case.
    const replacement = before.then(
      () => this.#replace(path, bytes),
      () => this.#replace(path, bytes),
    );
    this.#replacing.set(path, replacement);
    const forget = (): void => {
      if (this.#replacing.get(path) === replacement) this.#replacing.delete(path);
    };
    replacement.then(forget, forget);
    return replacement;
  }

  async makeFolder(path: string): Promise<void> {
    const steps = checkedFolder(path).split('/');
    for (let depth = 1; depth <= steps.length; depth++) {
      const folder = steps.slice(0, depth).join('/');
      try {
        await fs.mkdir(this.#absolute(folder), { mode: FOLDER_MODE });
      } catch (error) {
        if (errnoOf(error) !== 'EEXIST') throw diskError('make folder', folder, error);
      }
      // Also when it was there: the run that made it may have died before its sync.
      await this.syncFolder(steps.slice(0, depth - 1).join('/'));
    }
    await this.syncFolder(path);
  }

  async rename(source: string, target: string): Promise<void> {
    const [from, to] = [checkedPath(source), checkedPath(target)];
    try {
      await fs.rename(this.#absolute(from), this.#absolute(to));
    } catch (error) {
      throw diskError(`rename to ${target}`, source, error);
    }
  }

  async remove(path: string): Promise<void> {
    const checked = checkedPath(path);
    try {
      await fs.rm(this.#absolute(checked), { recursive: true, force: true });
    } catch (error) {
      throw diskError('remove', path, error);
    }
  }

  async syncFolder(path: string): Promise<void> {
    const folder = checkedFolder(path);
    try {
      await syncAbsolute(this.#absolute(folder));
    } catch (error) {
      throw diskError('sync folder', path, error);
    }
  }

  async freeBytes(): Promise<number> {
    try {
      const { bavail, bsize } = await fs.statfs(this.#root);
      return bavail * bsize;
    } catch (error) {
      throw diskError('measure', '', error);
    }
  }

  async #replace(path: string, bytes: Uint8Array): Promise<void> {
    const temporary = `${checkedPath(path)}~`;
    const file = await this.#openFile(path, temporary, openFlags.create | constants.O_TRUNC);
    try {
      try {
        await file.write([bytes], 0);
        await file.sync();
      } finally {
        await file.close();
      }
      await fs.rename(this.#absolute(temporary), this.#absolute(path));
    } catch (error) {
      // The write has failed already; the leftover only takes space, and the next write replaces it if this fails too.
      await fs.rm(this.#absolute(temporary), { force: true }).catch(() => undefined);
      throw error instanceof DomainError ? error : diskError('replace', path, error);
    }
    await this.syncFolder(path.split('/').slice(0, -1).join('/'));
  }

  #openFile(name: string, path: string, flags: number): Promise<NodeFile> {
    return new Promise((resolve, reject) => {
      open(this.#absolute(path), flags, FILE_MODE, (error, fd) => {
        if (error) reject(diskError('open', name, error));
        else {
          const writesAreDurable = DURABLE_WRITES !== 0 && (flags & DURABLE_WRITES) !== 0;
          resolve(new NodeFile(name, fd, { readBytesMax: this.#readBytesMax, writesAreDurable }));
        }
      });
    });
  }

  #absolute(path: string): string {
    return path === '' ? this.#root : `${this.#root}/${path}`;
  }
}

/** Like `checkedPath`; the empty path is the root folder. */
function checkedFolder(path: string): string {
  return path === '' ? path : checkedPath(path);
}

/** Paths are made by this product's code, so a bad one is a bug, except that names of topics may have found their way in. */
function checkedPath(path: string): string {
  const valid = path.length <= PATH_LENGTH_MAX && path.split('/').every(isPlainName);
  if (!valid) throw new DomainError('STORAGE_FAILED', `${JSON.stringify(path)} is no path inside a data folder`);
  return path;
}

function isPlainName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[\\~]/.test(name) && !name.includes('\0');
}
