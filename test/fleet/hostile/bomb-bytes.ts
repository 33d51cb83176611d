/**
 * Compressed records that become very large: written by hand where a codec's own encoder would not go so far. Each is a whole
 * frame of its codec, so that nothing but the size of what it becomes can be held against it; those that lie say so.
 *
 * Formats: lz4_Frame_format.md, lz4_Block_format.md (github.com/lz4/lz4), RFC 8878 (zstd), format_description.txt (snappy).
 */
import { randomBytes } from 'node:crypto';
import { zstdCompressSync } from 'node:zlib';
import { xxHash32 } from './xxhash32.ts';

export const codecs = { lz4: 1, zstd: 2, snappy: 3 } as const;
export type CodecName = keyof typeof codecs;

/** The `records` entry of one record with so many zero bytes of value: everything before the zeros. */
function recordHead(valueBytes: number): Buffer {
  const value = Buffer.concat([Buffer.from([0x12]), varint(valueBytes)]);
  return Buffer.concat([Buffer.from([0x3a]), varint(value.length + valueBytes), value]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Buffer.from([...bytes, rest]);
}

/** `pattern` again and again behind `head`, as the codec says it: about `bytes` in all, for a few bytes carried. */
function repeated(codec: CodecName, head: Buffer, pattern: Buffer, bytes: number): Buffer {
  const times = Math.ceil((bytes - head.length) / pattern.length);
  if (codec === 'zstd') return zstdCompressSync(Buffer.concat([head, Buffer.alloc(times * pattern.length, pattern)]));
  const start = Buffer.concat([head, pattern]);
  const copied = (times - 1) * pattern.length;
  return codec === 'lz4' ? lz4Frame(start, pattern.length, copied) : snappyBlock(start, pattern.length, copied);
}

/** One record of about `bytes`, nearly all of it zeros. */
export function zeros(codec: CodecName, bytes: number): Buffer {
  const head = recordHead(bytes);
  return repeated(codec, Buffer.concat([head, noise(codec, bytes)]), Buffer.alloc(8), bytes + head.length);
}

/**
 * What is carried is allowed to become 256 times as much, and zstd makes next to nothing of zeros: the worst that gets through
 * carries so much that cannot be compressed.
 */
function noise(codec: CodecName, bytes: number): Buffer {
  return codec === 'zstd' && bytes > 1024 * 1024 ? randomBytes(17_000) : Buffer.alloc(0);
}

function noiseRecord(codec: CodecName, bytes: number): Buffer {
  const value = noise(codec, bytes);
  return Buffer.concat([recordHead(value.length), value]);
}

export interface Bomb {
  readonly carried: Buffer;
  readonly recordCount: number;
}

/** As many records as there may be, each of 36 bytes: work for whoever looks at each of them. */
export function manyRecords(codec: CodecName): Bomb {
  const recordCount = 100_000;
  const one = Buffer.concat([recordHead(32), Buffer.alloc(32)]);
  const first = noiseRecord(codec, one.length * recordCount);
  return { carried: repeated(codec, first, one, one.length * (recordCount - 1) + first.length), recordCount };
}

/** Records of 990 empty headers each: the most structure that fits into so many bytes. */
export function manyHeaders(codec: CodecName, bytes: number): Bomb {
  const content = Buffer.alloc(990 * 2, Buffer.from([0x1a, 0]));
  const one = Buffer.concat([Buffer.from([0x3a]), varint(content.length), content]);
  const count = Math.floor(bytes / one.length);
  const first = noiseRecord(codec, bytes);
  return { carried: repeated(codec, first, one, one.length * count + first.length), recordCount: count + 1 };
}

/** A frame that claims another size than it has, where the codec has a place for such a claim. */
export function lyingSize(codec: CodecName): Buffer {
  const honest = zeros(codec, 1_000_000);
  if (codec === 'snappy') return Buffer.concat([varint(0x7fff_ffff), honest.subarray(varint(1_000_000).length)]);
  if (codec === 'lz4') return lz4Frame(recordHead(1_000_000), 1, 1_000_000, 4_000_000_000);
  const lying = Buffer.from(honest);
  // The content size of a zstd frame follows its descriptor, and its window's byte unless it is a single segment.
  lying.writeUInt32LE(0x0fff_ffff, ((lying[4] as number) & 0x20) === 0 ? 6 : 5);
  return lying;
}

const lz4BlockBytes = 4 * 1024 * 1024;

/** Blocks of up to 4 MiB: literals, then one match that runs through the whole block. */
function lz4Frame(start: Buffer, distance: number, copied: number, claimed?: number): Buffer {
  const flags = claimed === undefined ? 0x40 : 0x48;
  const size = Buffer.alloc(claimed === undefined ? 0 : 8);
  if (claimed !== undefined) size.writeBigUInt64LE(BigInt(claimed));
  const descriptor = Buffer.concat([Buffer.from([flags, 0x70]), size]);
  const blocks: Buffer[] = [];
  let left = copied;
  let literals = start;
  while (left > 0) {
    const part = Math.min(left, lz4BlockBytes - literals.length - 16);
    blocks.push(lz4Block(literals, distance, part));
    left -= part;
    literals = Buffer.alloc(0);
  }
  const checksum = Buffer.from([(xxHash32(descriptor) >>> 8) & 0xff]);
  return Buffer.concat([Buffer.from([0x04, 0x22, 0x4d, 0x18]), descriptor, checksum, ...blocks, Buffer.alloc(4)]);
}

/** The last five bytes of a block are literals (the format asks for it): zeros, or the end of the pattern if it is longer. */
function lz4Block(literals: Buffer, distance: number, copied: number): Buffer {
  const tail = lastBytes(literals, distance, copied);
  const match = copied - tail.length - 4;
  const token = (Math.min(15, literals.length) << 4) | 15;
  const content = Buffer.concat([
    Buffer.from([token]),
    lengthBytes(literals.length),
    literals,
    Buffer.from([distance & 0xff, distance >> 8]),
    lengthBytes(match),
    Buffer.from([tail.length << 4]),
    tail,
  ]);
  const head = Buffer.alloc(4);
  head.writeUInt32LE(content.length);
  return Buffer.concat([head, content]);
}

/** What the copied bytes end with: the pattern goes round. */
function lastBytes(literals: Buffer, distance: number, copied: number): Buffer {
  const pattern = literals.length >= distance ? literals.subarray(literals.length - distance) : Buffer.alloc(distance);
  return Buffer.from(Array.from({ length: 5 }, (_, i) => pattern[(copied - 5 + i) % distance] as number));
}

/** What is above 15, in bytes of up to 255. */
function lengthBytes(length: number): Buffer {
  if (length < 15) return Buffer.alloc(0);
  const rest = length - 15;
  return Buffer.concat([Buffer.alloc(Math.floor(rest / 255), 255), Buffer.from([rest % 255])]);
}

/** Literals, then copies of up to 64 bytes, 3 bytes each. */
function snappyBlock(start: Buffer, distance: number, copied: number): Buffer {
  const pieces = [varint(start.length + copied), snappyLiteral(start)];
  for (let left = copied; left > 0; left -= 64) {
    const length = Math.min(64, left);
    pieces.push(Buffer.from([((length - 1) << 2) | 2, distance & 0xff, distance >> 8]));
  }
  return Buffer.concat(pieces);
}

function snappyLiteral(bytes: Buffer): Buffer {
  const length = bytes.length - 1;
  const head = length < 60 ? [length << 2] : [61 << 2, length & 0xff, length >> 8];
  return Buffer.concat([Buffer.from(head), bytes]);
}
