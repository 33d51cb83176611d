/**
 * Walks an LZ4 frame without inflating it: where its blocks lie, and how many bytes they will become. The libraries inflate
 * without a cap, and a frame may leave its content size out, so the size is counted from the sequences before any memory is
 * taken. Back references are checked on the way, so that a decoder behind it cannot read before its output.
 *
 * Exactly one frame is accepted: no dictionary, no trailing bytes. Checksums inside the frame are stepped over; the batch
 * has its own. Format: https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md and lz4_Block_format.md
 */
import { viewOf } from '@fleetmq/shared';
import { overInflationCap } from '../compression.ts';
import { corruptBatch } from '../limits.ts';

const magic = 0x184d2204;
const storedBit = 0x8000_0000;
const minMatch = 4;

export interface Lz4Block {
  readonly start: number;
  readonly end: number;
  /** Stored blocks are copied, the others inflated. */
  readonly stored: boolean;
}

export interface Lz4Frame {
  readonly blocks: readonly Lz4Block[];
  readonly inflatedBytes: number;
}

/** CORRUPT_BATCH for what is no whole LZ4 frame; RECORD_TOO_LARGE when it holds more than `maxOutputBytes`. */
export function readLz4Frame(bytes: Uint8Array, maxOutputBytes: number): Lz4Frame {
  const view = viewOf(bytes);
  const { position, blockBytesMax, blockChecksum, contentChecksum, independent, contentBytes } = readDescriptor(bytes);
  const blocks: Lz4Block[] = [];
  let at = position;
  let produced = 0;
  for (;;) {
    const word = uint32(view, at);
    at += 4;
    if (word === 0) break;
    const block = { start: at, end: at + (word & ~storedBit), stored: (word & storedBit) !== 0 };
    at = block.end + (blockChecksum ? 4 : 0);
    if (at > bytes.length) throw corruptBatch('lz4 block is longer than its frame');
    const size = block.stored ? block.end - block.start : inflatedSize(bytes, block, independent ? 0 : produced);
    if (size > blockBytesMax)
      throw corruptBatch(`lz4 block of ${size} bytes in a frame of ${blockBytesMax}-byte blocks`);
    produced += size;
    if (produced > maxOutputBytes) throw overInflationCap('lz4', maxOutputBytes);
    blocks.push(block);
  }
  if (contentChecksum) at += 4;
  if (at !== bytes.length) throw corruptBatch('lz4 frame does not end with the compressed records');
  if (contentBytes !== undefined && contentBytes !== produced) throw corruptBatch('lz4 frame lies about its size');
  return { blocks, inflatedBytes: produced };
}

interface Descriptor {
  readonly position: number;
  readonly blockBytesMax: number;
  readonly blockChecksum: boolean;
  readonly contentChecksum: boolean;
  readonly independent: boolean;
  readonly contentBytes: number | undefined;
}

function readDescriptor(bytes: Uint8Array): Descriptor {
  const view = viewOf(bytes);
  if (bytes.length < 11 || view.getUint32(0, true) !== magic) throw corruptBatch('not an lz4 frame');
  const flags = bytes[4] as number;
  const size = ((bytes[5] as number) >> 4) & 7;
  if (flags >> 6 !== 1 || (flags & 0x03) !== 0 || size < 4) throw corruptBatch('lz4 frame of an unknown kind');
  const hasSize = (flags & 0x08) !== 0;
  if (hasSize && bytes.length < 19) throw corruptBatch('lz4 frame is cut');
  return {
    position: hasSize ? 15 : 7,
    blockBytesMax: 2 ** (8 + 2 * size),
    blockChecksum: (flags & 0x10) !== 0,
    contentChecksum: (flags & 0x04) !== 0,
    independent: (flags & 0x20) !== 0,
    contentBytes: hasSize ? Number(view.getBigUint64(6, true)) : undefined,
  };
}

/** Bytes that a compressed block becomes. `history`: bytes before it that it may refer to. */
function inflatedSize(bytes: Uint8Array, block: Lz4Block, history: number): number {
  const { end } = block;
  let at = block.start;
  let produced = 0;
  while (at < end) {
    const token = bytes[at++] as number;
    let literals = token >> 4;
    if (literals === 15) {
      for (let byte = 255; byte === 255; literals += byte) byte = byteAt(bytes, at++, end);
    }
    at += literals;
    produced += literals;
    if (at > end) throw corruptBatch('lz4 literals run over their block');
    if (at === end) break;
    const distance = byteAt(bytes, at, end) | (byteAt(bytes, at + 1, end) << 8);
    at += 2;
    if (distance === 0 || distance > history + produced) throw corruptBatch('lz4 match before the start of its data');
    let match = token & 15;
    if (match === 15) {
      for (let byte = 255; byte === 255; match += byte) byte = byteAt(bytes, at++, end);
    }
    produced += match + minMatch;
  }
  return produced;
}

function byteAt(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) throw corruptBatch('lz4 block is cut');
  return bytes[at] as number;
}

function uint32(view: DataView, at: number): number {
  if (at + 4 > view.byteLength) throw corruptBatch('lz4 frame is cut');
  return view.getUint32(at, true);
}
