/**
 * A Disk in memory that can lose power, fill up and fail. It keeps apart what was written and what was synced, for file
 * contents and for folder entries alike: after `afterPowerLoss` each unsynced piece (512 bytes of a write, a change of size,
 * a created, renamed or removed name) is there or not, as the caller's choice says. It is as bad as the port allows a disk
 * to be, and never worse.
 *
 * Deterministic: no clock, no randomness of its own. Each call of the port is one or more operations that `intercept` sees.
 */
import { concatBytes, type Disk, type DiskFile, DomainError, type OpenMode, type OpenOptions } from '@fleetmq/shared';

export type OperationKind = 'open' | 'write' | 'read' | 'sync' | 'truncate' | 'rename' | 'remove' | 'sync-folder';

export interface DiskOperation {
  readonly kind: OperationKind;
  readonly path: string;
  /** Bytes of a write. */
  readonly bytes: number;
}

/** What goes wrong with an operation. */
export interface DiskFault {
  readonly error: DomainError;
  /** Of a write: so many bytes are written before it fails. Default 0. Other operations have no effect. */
  readonly writtenBytes?: number;
}

export interface MemoryDiskOptions {
  /** Bytes of all files together; a write beyond it is cut short and fails with DISK_FULL. Default: no bound. */
  readonly capacityBytes?: number;
  /** Whether it has files whose writes are durable. Default false. */
  readonly hasDurableWrites?: boolean;
  /** Sees each operation before it takes place, and may make it fail. */
  readonly intercept?: (operation: DiskOperation) => DiskFault | undefined;
}

/** Says whether an unsynced piece survives. Asked once per piece, in order. */
export type Survives = (piece: { readonly path: string; readonly what: 'data' | 'size' | 'name' }) => boolean;

const pieceBytes = 512;
const temporarySuffix = '~';

type Change = { readonly position: number; readonly bytes: Uint8Array } | { readonly size: number };

/** A file apart from its names. */
class Inode {
  /** As readers see it. */
  content: Uint8Array = new Uint8Array(0);
  durable: Uint8Array = new Uint8Array(0);
  /** Not synced, in order. */
  changes: Change[] = [];

  apply(change: Change): void {
    this.content = applied(this.content, change);
    this.changes.push(change);
  }

  sync(): void {
    for (const change of this.changes) this.durable = applied(this.durable, change);
    this.changes = [];
  }

  /** What the medium has becomes another. */
  damage(change: (bytes: Uint8Array) => Uint8Array): void {
    this.content = change(this.content);
    this.durable = change(this.durable);
  }

  /** What is left of it without power. */
  survivor(path: string, survives: Survives): Inode {
    let bytes = this.durable;
    for (const change of this.changes) {
      if ('size' in change) {
        if (survives({ path, what: 'size' })) bytes = applied(bytes, change);
        continue;
      }
      for (const piece of piecesOf(change)) if (survives({ path, what: 'data' })) bytes = applied(bytes, piece);
      const end = change.position + change.bytes.length;
      if (end > bytes.length && survives({ path, what: 'size' })) bytes = applied(bytes, { size: end });
    }
    const inode = new Inode();
    inode.content = bytes;
    inode.durable = bytes;
    return inode;
  }
}

/** A change of names: the file at `source`, if any, goes to `target`, if any. */
interface NameChange {
  readonly folder: string;
  readonly source: string | undefined;
  readonly target: string | undefined;
  readonly inode: Inode;
}

export class MemoryDisk implements Disk {
  readonly #options: MemoryDiskOptions;
  /** Replaces the option, so that a test can begin to interfere later. */
  intercept: MemoryDiskOptions['intercept'];
  capacityBytes: number;
  readonly hasDurableWrites: boolean;
  readonly #names = new Map<string, Inode>();
  readonly #durableNames = new Map<string, Inode>();
  #nameChanges: NameChange[] = [];
  readonly #folders = new Set<string>();
  #isOff = false;

  constructor(options: MemoryDiskOptions = {}) {
    this.#options = options;
    this.intercept = options.intercept;
    this.hasDurableWrites = options.hasDurableWrites ?? false;
    this.capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY;
  }

  /** From now on every call fails and changes nothing. */
  powerOff(): void {
    this.#isOff = true;
  }

  /** The disk as the next life finds it. This one is off. */
  afterPowerLoss(survives: Survives): MemoryDisk {
    this.powerOff();
    const next = new MemoryDisk(this.#options);
    next.intercept = undefined;
    for (const folder of this.#folders) next.#folders.add(folder);
    const names = new Map(this.#durableNames);
    for (const change of this.#nameChanges) {
      if (survives({ path: change.target ?? change.source ?? '', what: 'name' })) applyName(names, change);
    }
    const survivors = new Map<Inode, Inode>();
    for (const [path, inode] of names) {
      const survivor = survivors.get(inode) ?? inode.survivor(path, survives);
      survivors.set(inode, survivor);
      next.#names.set(path, survivor);
      next.#durableNames.set(path, survivor);
    }
    return next;
  }

  /** The disk as the next process finds it when this one was killed: all that was written is there, and no more durable than before. */
  afterKill(): MemoryDisk {
    this.powerOff();
    const next = new MemoryDisk(this.#options);
    next.intercept = undefined;
    for (const folder of this.#folders) next.#folders.add(folder);
    for (const [path, inode] of this.#names) next.#names.set(path, inode);
    for (const [path, inode] of this.#durableNames) next.#durableNames.set(path, inode);
    next.#nameChanges = [...this.#nameChanges];
    return next;
  }

  /** A copy of what readers see now, all of it durable; for tests that damage files. */
  clone(): MemoryDisk {
    const copy = new MemoryDisk(this.#options);
    for (const folder of this.#folders) copy.#folders.add(folder);
    for (const [path, inode] of this.#names) copy.put(path, inode.content.slice());
    return copy;
  }

  /** Puts a durable file there, past all faults. */
  put(path: string, bytes: Uint8Array): void {
    const inode = new Inode();
    inode.content = bytes;
    inode.durable = bytes;
    this.#names.set(path, inode);
    this.#durableNames.set(path, inode);
  }

  /** What readers see of a file, past all faults. */
  peek(path: string): Uint8Array | undefined {
    return this.#names.get(path)?.content;
  }

  /** What of a file would be there after a power loss that takes all it can, past all faults. */
  peekDurable(path: string): Uint8Array | undefined {
    return this.#durableNames.get(path)?.durable;
  }

  /**
   * Bit rot: what is durable of a file, and what readers see, becomes what `change` makes of it; open files see it, too. `change`
   * is called with different bytes of the same file, which it must not change in place.
   */
  damage(path: string, change: (bytes: Uint8Array) => Uint8Array): void {
    this.#names.get(path)?.damage(change);
  }

  /** The file is gone, as if it had never been. */
  lose(path: string): void {
    this.#names.delete(path);
    this.#durableNames.delete(path);
    this.#nameChanges = this.#nameChanges.filter(({ target }) => target !== path);
  }

  /** Paths of all files, sorted. */
  paths(): string[] {
    return [...this.#names.keys()].sort();
  }

  async open(path: string, mode: OpenMode, { durableWrites = false }: OpenOptions = {}): Promise<DiskFile> {
    this.#begin({ kind: 'open', path, bytes: 0 });
    let inode = this.#names.get(path);
    if (inode === undefined) {
      if (mode !== 'create') throw new DomainError('STORAGE_FAILED', `${path} does not exist`);
      inode = new Inode();
      this.#rename({ folder: folderOf(path), source: undefined, target: path, inode });
    }
    return new MemoryFile(this, path, inode, durableWrites && this.hasDurableWrites);
  }

  async list(folder: string): Promise<readonly string[]> {
    this.#begin({ kind: 'read', path: folder, bytes: 0 });
    const children = new Set<string>();
    for (const path of [...this.#names.keys(), ...this.#folders]) {
      const child = childOf(folder, path);
      if (child !== undefined && !child.endsWith(temporarySuffix)) children.add(child);
    }
    return [...children].sort();
  }

  async readFile(path: string): Promise<Uint8Array | undefined> {
    this.#begin({ kind: 'read', path, bytes: 0 });
    return this.#names.get(path)?.content.slice();
  }

  async writeFileAtomic(path: string, bytes: Uint8Array): Promise<void> {
    const temporary = `${path}${temporarySuffix}`;
    const file = await this.open(temporary, 'create');
    await file.truncate(0);
    await file.write([bytes], 0);
    await file.sync();
    await file.close();
    await this.rename(temporary, path);
    await this.syncFolder(folderOf(path));
  }

  async makeFolder(path: string): Promise<void> {
    this.#begin({ kind: 'open', path, bytes: 0 });
    const steps = path.split('/');
    for (let i = 1; i <= steps.length; i++) this.#folders.add(steps.slice(0, i).join('/'));
  }

  async rename(source: string, target: string): Promise<void> {
    this.#begin({ kind: 'rename', path: source, bytes: 0 });
    if (this.#folders.has(source) || this.paths().some((path) => path.startsWith(`${source}/`))) {
      this.#renameFolder(source, target);
      return;
    }
    const inode = this.#names.get(source);
    if (inode === undefined) throw new DomainError('STORAGE_FAILED', `${source} does not exist`);
    this.#rename({ folder: folderOf(target), source, target, inode });
  }

  async remove(path: string): Promise<void> {
    this.#begin({ kind: 'remove', path, bytes: 0 });
    for (const [name, inode] of [...this.#names]) {
      if (name !== path && !name.startsWith(`${path}/`)) continue;
      this.#rename({ folder: folderOf(name), source: name, target: undefined, inode });
    }
    for (const folder of [...this.#folders]) {
      if (folder === path || folder.startsWith(`${path}/`)) this.#folders.delete(folder);
    }
  }

  async syncFolder(path: string): Promise<void> {
    this.#begin({ kind: 'sync-folder', path, bytes: 0 });
    for (const change of this.#nameChanges) if (change.folder === path) applyName(this.#durableNames, change);
    this.#nameChanges = this.#nameChanges.filter((change) => change.folder !== path);
  }

  async freeBytes(): Promise<number> {
    return Math.max(0, this.capacityBytes - this.#usedBytes());
  }

  /** For files: sees to faults and to the bound. Returns how many bytes of a write get through, and what ends it. */
  admit(operation: DiskOperation, growth: number): { readonly bytes: number; readonly error: DomainError | undefined } {
    if (this.#isOff) throw powerIsOff();
    const fault = this.intercept?.(operation);
    if (fault !== undefined) return { bytes: Math.min(fault.writtenBytes ?? 0, operation.bytes), error: fault.error };
    const isBounded = growth > 0 && this.capacityBytes !== Number.POSITIVE_INFINITY;
    const missing = isBounded ? growth - (this.capacityBytes - this.#usedBytes()) : 0;
    if (missing <= 0) return { bytes: operation.bytes, error: undefined };
    const error = new DomainError('DISK_FULL', `no space for ${missing} of ${operation.bytes} bytes`);
    return { bytes: Math.max(0, operation.bytes - missing), error };
  }

  #begin(operation: DiskOperation): void {
    const { error } = this.admit(operation, 0);
    if (error !== undefined) throw error;
  }

  /** Durable at once, with all that it holds: where it is not, another folder under the old name is another folder still. */
  #renameFolder(source: string, target: string): void {
    const moved = <Path extends string | undefined>(path: Path): Path =>
      path === source || path?.startsWith(`${source}/`) ? (`${target}${path.slice(source.length)}` as Path) : path;
    for (const names of [this.#names, this.#durableNames]) {
      const entries = [...names];
      names.clear();
      for (const [path, inode] of entries) names.set(moved(path), inode);
    }
    const folders = [...this.#folders];
    this.#folders.clear();
    for (const folder of folders) this.#folders.add(moved(folder));
    this.#nameChanges = this.#nameChanges.map((change) => ({
      ...change,
      folder: moved(change.folder),
      source: moved(change.source),
      target: moved(change.target),
    }));
  }

  #rename(change: NameChange): void {
    applyName(this.#names, change);
    this.#nameChanges.push(change);
  }

  #usedBytes(): number {
    let total = 0;
    for (const inode of new Set(this.#names.values())) total += inode.content.length;
    return total;
  }
}

class MemoryFile implements DiskFile {
  readonly path: string;
  readonly writesAreDurable: boolean;
  readonly #disk: MemoryDisk;
  readonly #inode: Inode;
  #isClosed = false;

  constructor(disk: MemoryDisk, path: string, inode: Inode, writesAreDurable: boolean) {
    this.#disk = disk;
    this.path = path;
    this.#inode = inode;
    this.writesAreDurable = writesAreDurable;
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    const bytes = concatBytes(buffers);
    const admitted = this.#admit('write', bytes.length, position + bytes.length - this.#inode.content.length);
    if (admitted.bytes > 0) this.#inode.apply({ position, bytes: bytes.subarray(0, admitted.bytes) });
    if (admitted.error !== undefined) throw admitted.error;
    if (this.writesAreDurable) await this.sync();
  }

  async read(position: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    this.#expect('read');
    const bytes = this.#inode.content.subarray(position, position + length);
    if (into === undefined) return bytes.slice();
    into.set(bytes);
    return into.subarray(0, bytes.length);
  }

  async sync(): Promise<void> {
    this.#expect('sync');
    this.#inode.sync();
  }

  async truncate(size: number): Promise<void> {
    this.#expect('truncate');
    if (size !== this.#inode.content.length) this.#inode.apply({ size });
  }

  async preallocate(_size: number): Promise<void> {
    this.#checkOpen();
  }

  async size(): Promise<number> {
    this.#checkOpen();
    return this.#inode.content.length;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  #admit(kind: OperationKind, bytes: number, growth: number): { bytes: number; error: DomainError | undefined } {
    this.#checkOpen();
    return this.#disk.admit({ kind, path: this.path, bytes }, growth);
  }

  #expect(kind: OperationKind): void {
    const { error } = this.#admit(kind, 0, 0);
    if (error !== undefined) throw error;
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new DomainError('STORAGE_FAILED', `${this.path} is closed`);
  }
}

function powerIsOff(): DomainError {
  return new DomainError('STORAGE_FAILED', 'the power is off');
}

function applied(content: Uint8Array, change: Change): Uint8Array {
  if ('size' in change) {
    const resized = new Uint8Array(change.size);
    resized.set(content.subarray(0, change.size));
    return resized;
  }
  const resized = new Uint8Array(Math.max(content.length, change.position + change.bytes.length));
  resized.set(content);
  resized.set(change.bytes, change.position);
  return resized;
}

/** A write in the aligned pieces that a disk takes or loses as a whole. */
function piecesOf(write: { readonly position: number; readonly bytes: Uint8Array }): Change[] {
  const pieces: Change[] = [];
  const end = write.position + write.bytes.length;
  for (let at = write.position; at < end; ) {
    const next = Math.min(end, (Math.floor(at / pieceBytes) + 1) * pieceBytes);
    pieces.push({ position: at, bytes: write.bytes.subarray(at - write.position, next - write.position) });
    at = next;
  }
  return pieces;
}

function applyName(names: Map<string, Inode>, change: NameChange): void {
  if (change.source !== undefined) names.delete(change.source);
  if (change.target !== undefined) names.set(change.target, change.inode);
}

function folderOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '';
}

function childOf(folder: string, path: string): string | undefined {
  const prefix = folder === '' ? '' : `${folder}/`;
  return path.startsWith(prefix) && path !== folder ? path.slice(prefix.length).split('/')[0] : undefined;
}
