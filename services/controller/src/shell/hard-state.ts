/**
 * Term and vote on disk: two small files with the same content, each with a sequence number and a checksum.
 *
 * A change is written to the first file, made durable, then to the second, made durable; only then is it answered. So a
 * crash tears at most one of them, and the newer good copy counts. When neither is good the node has forgotten whom it
 * voted for: it must not vote again, and `load` refuses with CORRUPT_LOG. Commit is not here: it may lag.
 * Layout (little endian): "FMQHARD1", sequence, term, vote (8 bytes each), CRC-32 of all that.
 */
import type { HardState } from '@fleetmq/raft';
import {
  type Checksum,
  type Disk,
  type DiskFile,
  DomainError,
  type LogIndex,
  type Term,
  viewOf,
} from '@fleetmq/shared';

const magic = 'FMQHARD1';
const magicBytes = new TextEncoder().encode(magic);
const copyBytes = 36;

type Ballot = Pick<HardState, 'term' | 'vote'>;

interface Copy extends Ballot {
  readonly sequence: number;
}

export class HardStateFiles {
  readonly #files: readonly DiskFile[];
  readonly #checksum: Checksum;
  #current: Copy;

  private constructor(files: readonly DiskFile[], checksum: Checksum, current: Copy) {
    this.#files = files;
    this.#checksum = checksum;
    this.#current = current;
  }

  static copyPaths(folder: string): readonly string[] {
    return [`${folder}/hard-state.0`, `${folder}/hard-state.1`];
  }

  /** Writes both copies anew. */
  static async create(disk: Disk, folder: string, checksum: Checksum, ballot: Ballot): Promise<void> {
    const bytes = encodeCopy({ ...ballot, sequence: 1 }, checksum);
    for (const path of HardStateFiles.copyPaths(folder)) await disk.writeFileAtomic(path, bytes);
  }

  /** CORRUPT_LOG when neither copy is good. */
  static async open(disk: Disk, folder: string, checksum: Checksum): Promise<HardStateFiles> {
    const paths = HardStateFiles.copyPaths(folder);
    const copies: (Copy | undefined)[] = [];
    for (const path of paths) {
      const bytes = await disk.readFile(path);
      copies.push(bytes === undefined ? undefined : decodeCopy(bytes, checksum));
    }
    const good = copies.filter((copy) => copy !== undefined).sort((left, right) => right.sequence - left.sequence);
    const newest = good[0];
    if (newest === undefined) {
      throw new DomainError(
        'CORRUPT_LOG',
        `neither ${paths.join(' nor ')} has a right checksum: this node does not know whom it voted for and must not ` +
          'vote; bring one of them back from a copy of this disk, or replace the node',
      );
    }
    // Equal again before anything else is written, so that the next change may tear either of them.
    const bytes = encodeCopy(newest, checksum);
    for (const [position, path] of paths.entries()) {
      if (copies[position]?.sequence !== newest.sequence) await disk.writeFileAtomic(path, bytes);
    }
    const files: DiskFile[] = [];
    for (const path of paths) files.push(await disk.open(path, 'read-write'));
    return new HardStateFiles(files, checksum, newest);
  }

  get ballot(): Ballot {
    return this.#current;
  }

  /** Durable in both copies when it resolves. Not to be called again before. */
  async save(ballot: Ballot): Promise<void> {
    const next: Copy = { term: ballot.term, vote: ballot.vote, sequence: this.#current.sequence + 1 };
    const bytes = encodeCopy(next, this.#checksum);
    for (const file of this.#files) {
      await file.write([bytes], 0);
      await file.sync();
    }
    this.#current = next;
  }

  async close(): Promise<void> {
    for (const file of this.#files) await file.close();
  }
}

/** As the core wants it, with a commit index from elsewhere. */
export function hardStateWith(ballot: Ballot, commit: LogIndex): HardState {
  return { term: ballot.term, vote: ballot.vote, commit };
}

function encodeCopy(copy: Copy, checksum: Checksum): Uint8Array {
  const bytes = new Uint8Array(copyBytes);
  const view = viewOf(bytes);
  bytes.set(magicBytes);
  view.setBigUint64(8, BigInt(copy.sequence), true);
  view.setBigUint64(16, BigInt(copy.term), true);
  view.setBigUint64(24, BigInt(copy.vote), true);
  view.setUint32(32, checksum.crc32(bytes.subarray(0, 32)), true);
  return bytes;
}

function decodeCopy(bytes: Uint8Array, checksum: Checksum): Copy | undefined {
  if (bytes.length !== copyBytes || !magicBytes.every((byte, position) => bytes[position] === byte)) return undefined;
  const view = viewOf(bytes);
  if (checksum.crc32(bytes.subarray(0, 32)) !== view.getUint32(32, true)) return undefined;
  const number = (position: number): number => Number(view.getBigUint64(position, true));
  return { sequence: number(8), term: number(16) as Term, vote: number(24) };
}
