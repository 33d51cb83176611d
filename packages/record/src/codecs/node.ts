/**
 * Codecs for Node: lz4-napi (frame API: the block API of the package prepends a length of its own), snappy (raw blocks), and
 * zstd by zstd-napi where that addon was built, else by node:zlib; both read each other's frames.
 *
 * None of the libraries caps its output, so every declared or counted size is checked before one of them is called.
 */
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { compressFrameSync, decompressFrameSync } from 'lz4-napi';
import * as snappyLibrary from 'snappy';
import { type Codec, type Codecs, codecsOf, overInflationCap } from '../compression.ts';
import { codecId } from '../layout.ts';
import { corruptBatch } from '../limits.ts';
import { readLz4Frame } from './lz4-frame.ts';
import { readSnappyLength } from './snappy-block.ts';
import { readZstdFrame } from './zstd-frame.ts';

/** The addons want Buffers; this is a view, not a copy. */
function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Callers get plain arrays: a Buffer's `slice` and JSON form differ. */
function plainBytes(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

function expectSize(name: string, inflated: Buffer, expected: number): Uint8Array {
  if (inflated.length !== expected)
    throw corruptBatch(`${name} made ${inflated.length} bytes, ${expected} were declared`);
  return plainBytes(inflated);
}

export const lz4: Codec = {
  id: codecId.lz4,
  name: 'lz4',
  compress: (bytes) => plainBytes(compressFrameSync(bufferOf(bytes))),
  decompress(bytes, maxOutputBytes) {
    const { inflatedBytes } = readLz4Frame(bytes, maxOutputBytes);
    return expectSize('lz4', decompressFrameSync(bufferOf(bytes)), inflatedBytes);
  },
};

export const snappy: Codec = {
  id: codecId.snappy,
  name: 'snappy',
  compress: (bytes) => plainBytes(snappyLibrary.compressSync(bytes)),
  decompress(bytes, maxOutputBytes) {
    const length = readSnappyLength(bytes, maxOutputBytes);
    return expectSize('snappy', snappyLibrary.uncompressSync(bytes, { asBuffer: true }) as Buffer, length);
  },
};

const windowLogMax = 23;

/** zstd by node:zlib alone; exported so that both ways can be compared. */
export const zstdByZlib: Codec = {
  id: codecId.zstd,
  name: 'zstd',
  compress: (bytes) => plainBytes(zstdCompressSync(bytes)),
  decompress(bytes, maxOutputBytes) {
    const frame = readZstdFrame(bytes, maxOutputBytes);
    // zlib stops one byte above what may come, so that too much is told from damage; it refuses a limit of 0.
    const most = frame.contentBytes ?? Math.min(frame.contentBytesMax, maxOutputBytes);
    const params = { [constants.ZSTD_d_windowLogMax]: windowLogMax };
    const inflated = inflateUpTo(bytes, most + 1, params);
    if (inflated === undefined || inflated.length > maxOutputBytes) throw overInflationCap('zstd', maxOutputBytes);
    return frame.contentBytes === undefined ? plainBytes(inflated) : expectSize('zstd', inflated, frame.contentBytes);
  },
};

/** Undefined when more than `maxOutputLength` bytes would come. */
function inflateUpTo(bytes: Uint8Array, maxOutputLength: number, params: Record<number, number>): Buffer | undefined {
  try {
    return zstdDecompressSync(bytes, { maxOutputLength, params });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') return undefined;
    throw error;
  }
}

/** Undefined where the addon was not built: an optional dependency must not stop a start. */
const zstdAddon = await import('zstd-napi').catch(() => undefined);

/** `zstd-napi` or `node:zlib`, for the log line at start. */
export const zstdImplementation: 'zstd-napi' | 'node:zlib' = zstdAddon === undefined ? 'node:zlib' : 'zstd-napi';

export const zstd: Codec =
  zstdAddon === undefined
    ? zstdByZlib
    : {
        id: codecId.zstd,
        name: 'zstd',
        compress: (bytes) => plainBytes(zstdAddon.compress(bytes)),
        decompress(bytes, maxOutputBytes) {
          const { contentBytes } = readZstdFrame(bytes, maxOutputBytes);
          // Without a declared size the addon would grow without a cap: zlib has one.
          if (contentBytes === undefined) return zstdByZlib.decompress(bytes, maxOutputBytes);
          return expectSize('zstd', zstdAddon.decompress(bytes), contentBytes);
        },
      };

/** All three codecs. */
export const nodeCodecs: Codecs = codecsOf(lz4, zstd, snappy);
