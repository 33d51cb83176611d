/**
 * Codecs for Node: lz4-napi (frame API: the block API of the package prepends a length of its own), snappy (raw blocks), and
 * zstd by zstd-napi where that addon was built, else by node:zlib; both read each other's frames.
 *
 * None of the libraries caps its output, so every declared or counted size is checked before one of them is called.
 *
 * In the background they work on libuv's pool of four threads, which files and host names use too: callers bound how many
 * calls they have there. zstd goes there by node:zlib always, since zstd-napi has only synchronous calls.
 */
import { promisify } from 'node:util';
import {
  constants,
  type ZstdOptions,
  zstdCompress,
  zstdCompressSync,
  zstdDecompress,
  zstdDecompressSync,
} from 'node:zlib';
import { compressFrame, compressFrameSync, decompressFrame, decompressFrameSync } from 'lz4-napi';
import * as snappyLibrary from 'snappy';
import { type BackgroundCodec, type Codec, type Codecs, codecsOf, overInflationCap } from '../compression.ts';
import { codecId } from '../layout.ts';
import { corruptBatch } from '../limits.ts';
import { readLz4Frame } from './lz4-frame.ts';
import { readSnappyLength } from './snappy-block.ts';
import { readZstdFrame } from './zstd-frame.ts';

/**
 * From where on another thread is worth it. Handing over costs this one 10 to 60 microseconds, and the result is there up to 100
 * later; to compress 8 KiB costs 40 to 70, 32 KiB 180, and to inflate 16 KiB of compressed bytes 45 to 100 (docs/data-path.md).
 */
const compressFrom = 32 * 1024;
const decompressFrom = 16 * 1024;

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
  background: {
    ...{ compressFrom, decompressFrom },
    compress: async (bytes) => plainBytes(await compressFrame(bytes)),
    async decompress(bytes, maxOutputBytes) {
      const { inflatedBytes } = readLz4Frame(bytes, maxOutputBytes);
      return expectSize('lz4', await decompressFrame(bytes), inflatedBytes);
    },
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
  background: {
    ...{ compressFrom, decompressFrom },
    compress: async (bytes) => plainBytes(await snappyLibrary.compress(bytes)),
    async decompress(bytes, maxOutputBytes) {
      const length = readSnappyLength(bytes, maxOutputBytes);
      return expectSize('snappy', (await snappyLibrary.uncompress(bytes, { asBuffer: true })) as Buffer, length);
    },
  },
};

const windowLogMax = 23;

const zlibCompress = promisify<Uint8Array, ZstdOptions, Buffer>(zstdCompress);
const zlibDecompress = promisify<Uint8Array, ZstdOptions, Buffer>(zstdDecompress);

/**
 * The output in one chunk, which it never fills (ZSTD_COMPRESSBOUND in zstd.h): where it fills one, node:zlib asks for the rest
 * and gets one more, empty frame behind it, which readers refuse. A further chunk would also be one more trip to another
 * thread. The size is declared since readers without it must inflate piece by piece.
 */
function zstdOptionsFor(length: number): ZstdOptions {
  const mostBytes = length + (length >> 8) + Math.max(0, (128 * 1024 - length) >> 11);
  return { chunkSize: mostBytes + 64, pledgedSrcSize: length };
}

/** zstd by node:zlib alone; exported so that both ways can be compared. */
export const zstdByZlib: Codec = {
  id: codecId.zstd,
  name: 'zstd',
  compress: (bytes) => plainBytes(zstdCompressSync(bytes, zstdOptionsFor(bytes.length))),
  decompress(bytes, maxOutputBytes) {
    const { contentBytes, options } = readZstdClaim(bytes, maxOutputBytes);
    try {
      return expectZstdSize(zstdDecompressSync(bytes, options), contentBytes, maxOutputBytes);
    } catch (error) {
      throw asZstdError(error, maxOutputBytes);
    }
  },
  background: {
    ...{ compressFrom, decompressFrom },
    compress: async (bytes) => plainBytes(await zlibCompress(bytes, zstdOptionsFor(bytes.length))),
    async decompress(bytes, maxOutputBytes) {
      const { contentBytes, options } = readZstdClaim(bytes, maxOutputBytes);
      const chunk = contentBytes === undefined ? {} : { chunkSize: contentBytes + 64 };
      try {
        return expectZstdSize(await zlibDecompress(bytes, { ...options, ...chunk }), contentBytes, maxOutputBytes);
      } catch (error) {
        throw asZstdError(error, maxOutputBytes);
      }
    },
  },
};

function readZstdClaim(
  bytes: Uint8Array,
  maxOutputBytes: number,
): { readonly contentBytes: number | undefined; readonly options: ZstdOptions } {
  const { contentBytes, contentBytesMax } = readZstdFrame(bytes, maxOutputBytes);
  // zlib stops one byte above what may come, so that too much is told from damage; it refuses a limit of 0.
  const maxOutputLength = (contentBytes ?? Math.min(contentBytesMax, maxOutputBytes)) + 1;
  return { contentBytes, options: { maxOutputLength, params: { [constants.ZSTD_d_windowLogMax]: windowLogMax } } };
}

function expectZstdSize(inflated: Buffer, contentBytes: number | undefined, maxOutputBytes: number): Uint8Array {
  if (inflated.length > maxOutputBytes) throw overInflationCap('zstd', maxOutputBytes);
  return contentBytes === undefined ? plainBytes(inflated) : expectSize('zstd', inflated, contentBytes);
}

function asZstdError(error: unknown, maxOutputBytes: number): unknown {
  const isTooMuch = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
  return isTooMuch ? overInflationCap('zstd', maxOutputBytes) : error;
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
        background: zstdByZlib.background as BackgroundCodec,
      };

/** All three codecs. */
export const nodeCodecs: Codecs = codecsOf(lz4, zstd, snappy);
