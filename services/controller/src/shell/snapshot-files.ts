/**
 * Snapshots of the state machine on disk. A file is written whole, under a temporary name, made durable, renamed, and its
 * folder made durable (`Disk.writeFileAtomic`): it is there whole or not at all. The two newest are kept; the log keeps
 * what lies behind the older one, so that one damaged snapshot is no loss.
 *
 * Layout: "FMQSNAP1", length of the head (4 bytes), head (varints: index, term, then voters, learners, outgoing voters,
 * next learners, each with its count, then auto leave, then the length of the data), CRC-32 of head and data, data.
 * Numbers are little endian. The file's name is its index in 20 digits.
 */
import type { ConfState, Snapshot } from '@fleetmq/raft';
import {
  type Checksum,
  type Disk,
  type Logger,
  type LogIndex,
  type Term,
  viewOf,
  WireReader,
  WireWriter,
} from '@fleetmq/shared';

const magicBytes = new TextEncoder().encode('FMQSNAP1');
const keptSnapshots = 2;
const fileName = /^([0-9]{20})\.snapshot$/;

export class SnapshotFiles {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #checksum: Checksum;
  readonly #logger: Logger;

  constructor(options: { disk: Disk; folder: string; checksum: Checksum; logger: Logger }) {
    this.#disk = options.disk;
    this.#folder = options.folder;
    this.#checksum = options.checksum;
    this.#logger = options.logger;
  }

  /** The readable ones, newest first. Damaged ones are reported and put aside under another name. */
  async load(): Promise<readonly Snapshot[]> {
    const snapshots: Snapshot[] = [];
    for (const index of await this.#indexes()) {
      const path = this.#path(index);
      const bytes = await this.#disk.readFile(path);
      const snapshot = bytes === undefined ? undefined : decodeSnapshot(bytes, this.#checksum);
      if (snapshot !== undefined) {
        snapshots.push(snapshot);
        continue;
      }
      this.#logger.error({ path }, 'a snapshot is damaged and is not used');
      // Out of the way, or it would count as one of the two that are kept.
      await this.#disk.rename(path, `${path}.damaged`);
      await this.#disk.syncFolder(this.#folder);
    }
    return snapshots;
  }

  /** Durable when it resolves. Returns the index from which the log must be kept. */
  async save(snapshot: Snapshot): Promise<LogIndex> {
    await this.#disk.makeFolder(this.#folder);
    await this.#disk.writeFileAtomic(this.#path(snapshot.index), encodeSnapshot(snapshot, this.#checksum));
    const indexes = await this.#indexes();
    for (const index of indexes.slice(keptSnapshots)) await this.#disk.remove(this.#path(index));
    return (indexes[Math.min(keptSnapshots, indexes.length) - 1] ?? snapshot.index) as LogIndex;
  }

  async #indexes(): Promise<readonly number[]> {
    const names = await this.#disk.list(this.#folder);
    return names
      .map((name) => fileName.exec(name)?.[1])
      .filter((digits) => digits !== undefined)
      .map(Number)
      .sort((left, right) => right - left);
  }

  #path(index: number): string {
    return `${this.#folder}/${String(index).padStart(20, '0')}.snapshot`;
  }
}

function encodeSnapshot(snapshot: Snapshot, checksum: Checksum): Uint8Array {
  const { index, term, confState, data } = snapshot;
  const head = new WireWriter(128).varint(index).varint(term);
  for (const ids of [confState.voters, confState.learners, confState.votersOutgoing, confState.learnersNext]) {
    head.varint(ids.length);
    for (const id of ids) head.varint(id);
  }
  head.varint(confState.autoLeave ? 1 : 0).varint(data.length);
  const headBytes = head.finish();
  const crc = checksum.crc32(data, checksum.crc32(headBytes));
  return new WireWriter(headBytes.length + data.length + 16)
    .raw(magicBytes)
    .fixed32(headBytes.length)
    .raw(headBytes)
    .fixed32(crc)
    .raw(data)
    .finish();
}

/** Undefined for bytes that are no whole snapshot. */
function decodeSnapshot(bytes: Uint8Array, checksum: Checksum): Snapshot | undefined {
  if (bytes.length < 16 || !magicBytes.every((byte, position) => bytes[position] === byte)) return undefined;
  const view = viewOf(bytes);
  const headLength = view.getUint32(8, true);
  const dataStart = 12 + headLength + 4;
  if (dataStart > bytes.length) return undefined;
  const headBytes = bytes.subarray(12, 12 + headLength);
  const data = bytes.subarray(dataStart);
  if (checksum.crc32(data, checksum.crc32(headBytes)) !== view.getUint32(12 + headLength, true)) return undefined;
  const reader = new WireReader(headBytes);
  const index = reader.varint() as LogIndex;
  const term = reader.varint() as Term;
  const [voters = [], learners = [], votersOutgoing = [], learnersNext = []] = [1, 2, 3, 4].map(() => readIds(reader));
  const autoLeave = reader.varint() === 1;
  if (reader.varint() !== data.length) return undefined;
  const confState: ConfState = { voters, learners, votersOutgoing, learnersNext, autoLeave };
  return { index, term, confState, data: data.slice() };
}

function readIds(reader: WireReader): number[] {
  return Array.from({ length: reader.varint() }, () => reader.varint());
}
