/**
 * The Disk port in memory, for tests: it keeps a journal of what was done to it, from which the disk can be built again as
 * a crash at any moment would leave it. Two extremes of what a crash keeps: everything written so far, or only what was
 * made durable (a file's bytes by its sync, a name by the sync of its folder).
 */
import type { Disk, DiskFile, OpenMode } from '@fleetmq/shared';
import { DomainError } from '@fleetmq/shared';

export type DiskStep =
  | { readonly kind: 'create'; readonly path: string }
  | { readonly kind: 'write'; readonly path: string; readonly position: number; readonly bytes: Uint8Array }
  | { readonly kind: 'truncate'; readonly path: string; readonly size: number }
  | { readonly kind: 'sync'; readonly path: string }
  | { readonly kind: 'replace'; readonly path: string; readonly bytes: Uint8Array }
  | { readonly kind: 'rename'; readonly source: string; readonly target: string }
  | { readonly kind: 'remove'; readonly path: string }
  | { readonly kind: 'sync-folder'; readonly path: string }
  /** Set by the test: what it was promised up to here. */
  | { readonly kind: 'mark'; readonly value: unknown };

export class MemoryDisk implements Disk {
  readonly files: Map<string, Uint8Array>;
  readonly journal: DiskStep[] = [];
  /** When set, the next syncs fail with it. */
  syncFailure: DomainError | undefined;

  constructor(files: ReadonlyMap<string, Uint8Array> = new Map()) {
    this.files = new Map([...files].map(([path, bytes]) => [path, bytes.slice()]));
  }

  mark(value: unknown): void {
    this.journal.push({ kind: 'mark', value });
  }

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    if (!this.files.has(path)) {
      if (mode !== 'create') throw new DomainError('STORAGE_FAILED', `there is no ${path}`);
      this.#do({ kind: 'create', path });
    }
    return {
      path,
      write: async (buffers, position) => {
        let at = position;
        for (const bytes of buffers) {
          this.#do({ kind: 'write', path, position: at, bytes: bytes.slice() });
          at += bytes.length;
        }
      },
      read: async (position, length) => (this.files.get(path) as Uint8Array).slice(position, position + length),
      sync: async () => {
        if (this.syncFailure !== undefined) throw this.syncFailure;
        this.#do({ kind: 'sync', path });
      },
      truncate: async (size) => this.#do({ kind: 'truncate', path, size }),
      preallocate: async () => undefined,
      size: async () => (this.files.get(path) as Uint8Array).length,
      close: async () => undefined,
    };
  }

  async list(folder: string): Promise<readonly string[]> {
    const prefix = `${folder}/`;
    const names = [...this.files.keys()]
      .filter((path) => path.startsWith(prefix))
      .map((path) => path.slice(prefix.length).split('/')[0] as string);
    return [...new Set(names)].sort();
  }

  async readFile(path: string): Promise<Uint8Array | undefined> {
    return this.files.get(path)?.slice();
  }

  async writeFileAtomic(path: string, bytes: Uint8Array): Promise<void> {
    this.#do({ kind: 'replace', path, bytes: bytes.slice() });
  }

  async makeFolder(): Promise<void> {}

  async rename(source: string, target: string): Promise<void> {
    this.#do({ kind: 'rename', source, target });
  }

  async remove(path: string): Promise<void> {
    this.#do({ kind: 'remove', path });
  }

  async syncFolder(path: string): Promise<void> {
    this.#do({ kind: 'sync-folder', path });
  }

  async freeBytes(): Promise<number> {
    return 2 ** 40;
  }

  #do(step: DiskStep): void {
    this.journal.push(step);
    applyStep(this.files, step);
  }
}

/** The files after these steps, with everything that was written. */
export function filesAfter(steps: readonly DiskStep[]): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  for (const step of steps) applyStep(files, step);
  return files;
}

/** The files after these steps, without what was not durable: writes since a file's last sync, new names without a folder sync. */
export function durableFilesAfter(steps: readonly DiskStep[]): Map<string, Uint8Array> {
  const present = new Map<string, Uint8Array>();
  const synced = new Map<string, Uint8Array>();
  const named = new Set<string>();
  for (const step of steps) {
    applyStep(present, step);
    if (step.kind === 'sync') synced.set(step.path, (present.get(step.path) as Uint8Array).slice());
    if (step.kind === 'replace') {
      synced.set(step.path, step.bytes);
      named.add(step.path);
    }
    if (step.kind === 'sync-folder') {
      const inFolder = (path: string): boolean => path.slice(0, path.lastIndexOf('/')) === step.path;
      for (const path of present.keys()) if (inFolder(path)) named.add(path);
      for (const path of [...named]) if (inFolder(path) && !present.has(path)) named.delete(path);
    }
  }
  return new Map([...named].map((path) => [path, synced.get(path) ?? new Uint8Array(0)]));
}

function applyStep(files: Map<string, Uint8Array>, step: DiskStep): void {
  switch (step.kind) {
    case 'create':
      files.set(step.path, new Uint8Array(0));
      return;
    case 'replace':
      files.set(step.path, step.bytes);
      return;
    case 'write': {
      const before = files.get(step.path) as Uint8Array;
      const after = new Uint8Array(Math.max(before.length, step.position + step.bytes.length));
      after.set(before);
      after.set(step.bytes, step.position);
      files.set(step.path, after);
      return;
    }
    case 'truncate': {
      const after = new Uint8Array(step.size);
      after.set((files.get(step.path) as Uint8Array).subarray(0, step.size));
      files.set(step.path, after);
      return;
    }
    case 'rename':
      files.set(step.target, files.get(step.source) as Uint8Array);
      files.delete(step.source);
      return;
    case 'remove':
      for (const path of [...files.keys()]) {
        if (path === step.path || path.startsWith(`${step.path}/`)) files.delete(path);
      }
      return;
    default:
      return;
  }
}
