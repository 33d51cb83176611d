/**
 * Reads the header of a zstd frame and walks its blocks without inflating them, for a bound on what they become. Exactly
 * one frame is accepted: no dictionary, no skippable frames, no trailing bytes, a window of 8 MiB at most (the size that
 * RFC 8878, section 3.1.1.1.2, asks every decoder to support), because decoders take memory by what the header claims.
 */
import { viewOf } from '@fleetmq/shared';
import { overInflationCap } from '../compression.ts';
import { corruptBatch } from '../limits.ts';

const magic = 0xfd2fb528;
const windowBytesMax = 8 * 1024 * 1024;
const blockBytesMax = 128 * 1024;

export interface ZstdFrame {
  /** As the frame declares it; undefined when it does not. */
  readonly contentBytes: number | undefined;
  /** The content is not longer than this. */
  readonly contentBytesMax: number;
}

/** CORRUPT_BATCH for what is no whole zstd frame; RECORD_TOO_LARGE when it declares more than `maxOutputBytes`. */
export function readZstdFrame(bytes: Uint8Array, maxOutputBytes: number): ZstdFrame {
  const { position, contentBytes, checksum } = readHeader(bytes);
  if (contentBytes !== undefined && contentBytes > maxOutputBytes) throw overInflationCap('zstd', maxOutputBytes);
  let at = position;
  let contentBytesMax = 0;
  for (let last = false; !last; ) {
    if (at + 3 > bytes.length) throw corruptBatch('zstd frame is cut');
    const word = (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16);
    last = (word & 1) === 1;
    const type = (word >> 1) & 3;
    const size = word >> 3;
    if (type === 3 || size > blockBytesMax) throw corruptBatch(`zstd block of type ${type} and ${size} bytes`);
    at += 3 + (type === 1 ? 1 : size);
    contentBytesMax += type === 2 ? blockBytesMax : size;
  }
  at += checksum ? 4 : 0;
  if (at !== bytes.length) throw corruptBatch('zstd frame does not end with the compressed records');
  if (contentBytes !== undefined && contentBytes > contentBytesMax)
    throw corruptBatch('zstd frame lies about its size');
  return { contentBytes, contentBytesMax };
}

function readHeader(bytes: Uint8Array): { position: number; contentBytes: number | undefined; checksum: boolean } {
  const view = viewOf(bytes);
  if (bytes.length < 9 || view.getUint32(0, true) !== magic) throw corruptBatch('not a zstd frame');
  const descriptor = bytes[4] as number;
  if ((descriptor & 0x08) !== 0 || (descriptor & 0x03) !== 0) throw corruptBatch('zstd frame with a dictionary');
  const singleSegment = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >> 6;
  const sizeBytes = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 2 ** sizeFlag;
  const sizeAt = singleSegment ? 5 : 6;
  if (sizeAt + sizeBytes > bytes.length) throw corruptBatch('zstd frame is cut');
  const contentBytes = readSize(view, sizeAt, sizeBytes);
  const window = singleSegment ? (contentBytes ?? 0) : windowSize(bytes[5] as number);
  if (window > windowBytesMax && !singleSegment)
    throw corruptBatch(`zstd window of ${window} bytes is over ${windowBytesMax}`);
  return { position: sizeAt + sizeBytes, contentBytes, checksum: (descriptor & 0x04) !== 0 };
}

function readSize(view: DataView, at: number, sizeBytes: number): number | undefined {
  switch (sizeBytes) {
    case 1:
      return view.getUint8(at);
    case 2:
      return view.getUint16(at, true) + 256;
    case 4:
      return view.getUint32(at, true);
    case 8:
      return Number(view.getBigUint64(at, true));
    default:
      return undefined;
  }
}

function windowSize(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}
