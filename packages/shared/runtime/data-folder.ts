/**
 * The guard of a data folder: which node of which cluster it belongs to, and that one process alone uses it.
 * - `meta.json` is written at the first start: role, node, a random disk id, format, and the cluster once it is known. A
 *   folder of another node or cluster is refused, and so is one that has files but no meta: mounting the wrong volume must
 *   never look like an empty disk. A wiped disk gets a new disk id, by which the cluster tells it from the old one.
 * - The lock is a lock of the kernel, which vanishes with its process however that ends, so there is no stale lock to
 *   guess about. Node has no flock; SQLite's exclusive transaction on an empty file is one, and guards against a second
 *   opening inside this process, too. Nobody else may open the file `lock`: closing it anywhere would drop the lock.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { type Disk, DomainError, type Random } from '@fleetmq/shared';
import { nodeChecksum } from './node-checksum.ts';
import { openNodeDisk } from './node-disk.ts';
import { nodeRandom } from './node-random.ts';

export interface DataFolderOptions {
  readonly path: string;
  readonly role: 'broker' | 'controller';
  readonly nodeId: number;
  /** The cluster that this node is set up for, if that is known before it has talked to anyone. */
  readonly clusterId?: string;
  /** How long to wait for a process that is about to end. Default 2 s. */
  readonly lockWaitMs?: number;
  readonly random?: Random;
}

export interface DataFolder extends AsyncDisposable {
  readonly disk: Disk;
  /** 32 hexadecimal digits, random, as old as the folder's content. */
  readonly diskId: string;
  /** True when this start made the folder's meta. */
  readonly fresh: boolean;
  /** The cluster that the folder belongs to; undefined until the first `bindCluster`. */
  readonly clusterId: string | undefined;
  /** Binds a new folder to its cluster, for good. Throws WRONG_CLUSTER when it belongs to another one. */
  bindCluster(clusterId: string): Promise<void>;
}

interface Meta {
  readonly format: number;
  readonly role: string;
  readonly nodeId: number;
  readonly diskId: string;
  readonly clusterId: string;
}

const FORMAT = 1;
const META = 'meta.json';
const LOCK = 'lock';
const LOCK_OWNER = 'lock-owner.json';
const LOCK_RETRY_MS = 50;
const SQLITE_BUSY = 5;
/** What a folder may hold before its meta is written: the guard's own files, and what a new file system comes with. */
const NO_CONTENT = new Set([LOCK, LOCK_OWNER, 'lost+found']);

/**
 * Opens and locks the folder, making it if it is absent. Throws NOT_AVAILABLE when another process holds it, WRONG_CLUSTER
 * when it is another node's or cluster's, INVALID_CONFIG when it holds foreign files, CORRUPT_LOG when its meta is damaged,
 * UNSUPPORTED_VERSION when a newer version wrote it.
 */
export async function openDataFolder(options: DataFolderOptions): Promise<DataFolder> {
  const disk = await openNodeDisk(options.path);
  await using opened = new AsyncDisposableStack();
  opened.use(await lockFolder(options.path, options.lockWaitMs ?? 2_000));
  const owner = { pid: process.pid, since: new Date().toISOString() };
  await disk.writeFileAtomic(LOCK_OWNER, new TextEncoder().encode(`${JSON.stringify(owner)}\n`));
  const stored = await readMeta(disk, options.path);
  const meta = stored ?? (await createMeta(disk, options));
  assertMine(meta, options);
  return new LockedFolder(disk, meta, { path: options.path, fresh: stored === undefined, lock: opened.move() });
}

class LockedFolder implements DataFolder {
  readonly disk: Disk;
  readonly fresh: boolean;
  readonly #path: string;
  readonly #lock: AsyncDisposableStack;
  #meta: Meta;

  constructor(disk: Disk, meta: Meta, rest: { path: string; fresh: boolean; lock: AsyncDisposableStack }) {
    this.disk = disk;
    this.fresh = rest.fresh;
    this.#path = rest.path;
    this.#lock = rest.lock;
    this.#meta = meta;
  }

  get diskId(): string {
    return this.#meta.diskId;
  }

  get clusterId(): string | undefined {
    return this.#meta.clusterId === '' ? undefined : this.#meta.clusterId;
  }

  async bindCluster(clusterId: string): Promise<void> {
    if (this.#meta.clusterId === clusterId) return;
    if (this.#meta.clusterId !== '') throw wrongCluster(this.#path, this.#meta.clusterId, clusterId);
    const bound = { ...this.#meta, clusterId };
    await writeMeta(this.disk, bound);
    this.#meta = bound;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lock.disposeAsync();
  }
}

async function lockFolder(path: string, waitMs: number): Promise<AsyncDisposable> {
  const deadline = performance.now() + waitMs;
  for (;;) {
    const database = tryLock(join(path, LOCK));
    if (database !== undefined) return { [Symbol.asyncDispose]: async () => database.close() };
    if (performance.now() >= deadline) {
      throw new DomainError('NOT_AVAILABLE', `the data folder ${path} is in use by ${describeOwner(path)}`);
    }
    await delay(LOCK_RETRY_MS);
  }
}

/** Undefined when somebody else holds the lock. */
function tryLock(path: string): DatabaseSync | undefined {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: 0 });
    database.exec('PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
    return database;
  } catch (error) {
    database?.close();
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) return undefined;
    throw new DomainError('STORAGE_FAILED', `cannot lock ${path}: ${String(error)}`, { cause: error });
  }
}

function describeOwner(path: string): string {
  try {
    const { pid, since } = JSON.parse(readFileSync(join(path, LOCK_OWNER), 'utf8')) as { pid: number; since: string };
    return `process ${pid} (since ${since})`;
  } catch {
    // Only words of a message: the lock itself has been decided.
    return 'another process';
  }
}

async function readMeta(disk: Disk, path: string): Promise<Meta | undefined> {
  const bytes = await disk.readFile(META);
  if (bytes === undefined) {
    const content = (await disk.list('')).filter((name) => !NO_CONTENT.has(name));
    if (content.length === 0) return undefined;
    const names = content.slice(0, 3).join(', ');
    const text = `the data folder ${path} holds files (${names}), but no ${META}: it is not a FleetMQ folder, or damaged`;
    throw new DomainError('INVALID_CONFIG', text);
  }
  const meta = parseMeta(bytes);
  if (meta === undefined) {
    throw new DomainError('CORRUPT_LOG', `${join(path, META)} is damaged: its checksum does not match its content`);
  }
  if (meta.format > FORMAT) {
    const text = `the data folder ${path} has format ${meta.format}, this version reads up to ${FORMAT}`;
    throw new DomainError('UNSUPPORTED_VERSION', text);
  }
  return meta;
}

async function createMeta(
  disk: Disk,
  { role, nodeId, clusterId = '', random = nodeRandom }: DataFolderOptions,
): Promise<Meta> {
  const meta = { format: FORMAT, role, nodeId, diskId: Buffer.from(random.bytes(16)).toString('hex'), clusterId };
  await writeMeta(disk, meta);
  return meta;
}

async function writeMeta(disk: Disk, meta: Meta): Promise<void> {
  const signed = { ...meta, checksum: checksumOf(meta) };
  await disk.writeFileAtomic(META, new TextEncoder().encode(`${JSON.stringify(signed, undefined, 2)}\n`));
}

/** Undefined unless the text is a meta whose checksum matches. */
function parseMeta(bytes: Uint8Array): Meta | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const { checksum, ...meta } = parsed as Meta & { checksum: unknown };
  return checksum === checksumOf(meta) ? meta : undefined;
}

/** CRC-32 over the other members as they stand in the file, so that a newer version may add some. */
function checksumOf(meta: Meta): string {
  return nodeChecksum
    .crc32(new TextEncoder().encode(JSON.stringify(meta)))
    .toString(16)
    .padStart(8, '0');
}

function assertMine(meta: Meta, { path, role, nodeId, clusterId }: DataFolderOptions): void {
  if (meta.role !== role || meta.nodeId !== nodeId) {
    const text = `the data folder ${path} belongs to ${meta.role} ${meta.nodeId}, this is ${role} ${nodeId}`;
    throw new DomainError('WRONG_CLUSTER', text);
  }
  if (clusterId !== undefined && meta.clusterId !== '' && meta.clusterId !== clusterId) {
    throw wrongCluster(path, meta.clusterId, clusterId);
  }
}

function wrongCluster(path: string, theirs: string, ours: string): DomainError {
  return new DomainError(
    'WRONG_CLUSTER',
    `the data folder ${path} belongs to cluster ${theirs}, this is cluster ${ours}`,
  );
}
