/**
 * Codecs for browsers, in JavaScript: lz4js and snappyjs both ways, fzstd inflating only (compressing with it is
 * UNSUPPORTED_CODEC). They read what `codecs/node.ts` writes and the other way round.
 *
 * None of the libraries caps its output or checks its input well, so sizes and back references are checked before.
 */
/// <reference path="./lz4js.d.ts" />
/// <reference path="./snappyjs.d.ts" />
import { concatBytes, DomainError } from '@fleetmq/shared';
import { Decompress, decompress as inflateZstd } from 'fzstd';
import * as lz4js from 'lz4js';
import * as snappyjs from 'snappyjs';
import { type Codec, type Codecs, codecsOf, overInflationCap } from '../compression.ts';
import { codecId } from '../layout.ts';
import { readLz4Frame } from './lz4-frame.ts';
import { readSnappyLength } from './snappy-block.ts';
import { readZstdFrame } from './zstd-frame.ts';

export const lz4: Codec = {
  id: codecId.lz4,
  name: 'lz4',
  compress: (bytes) => Uint8Array.from(lz4js.compress(bytes)),
  decompress(bytes, maxOutputBytes) {
    // Block by block: the frame function of lz4js looks for block checksums in the wrong place.
    const { blocks, inflatedBytes } = readLz4Frame(bytes, maxOutputBytes);
    const inflated = new Uint8Array(inflatedBytes);
    let at = 0;
    for (const { start, end, stored } of blocks) {
      if (stored) inflated.set(bytes.subarray(start, end), at);
      at = stored ? at + end - start : lz4js.decompressBlock(bytes, inflated, start, end - start, at);
    }
    return inflated;
  },
};

export const snappy: Codec = {
  id: codecId.snappy,
  name: 'snappy',
  compress: (bytes) => snappyjs.compress(bytes),
  decompress(bytes, maxOutputBytes) {
    readSnappyLength(bytes, maxOutputBytes);
    return snappyjs.uncompress(bytes, maxOutputBytes);
  },
};

export const zstd: Codec = {
  id: codecId.zstd,
  name: 'zstd',
  compress() {
    throw new DomainError('UNSUPPORTED_CODEC', 'browsers can read zstd but not write it: use lz4 or snappy');
  },
  decompress(bytes, maxOutputBytes) {
    const { contentBytes } = readZstdFrame(bytes, maxOutputBytes);
    if (contentBytes !== undefined) return inflateZstd(bytes, new Uint8Array(contentBytes));
    return inflateUndeclared(bytes, maxOutputBytes);
  },
};

/** For frames that do not declare their size: counts block by block, and stops at the cap. */
function inflateUndeclared(bytes: Uint8Array, maxOutputBytes: number): Uint8Array {
  const pieces: Uint8Array[] = [];
  let total = 0;
  const stream = new Decompress((piece) => {
    total += piece.length;
    if (total > maxOutputBytes) throw overInflationCap('zstd', maxOutputBytes);
    pieces.push(piece.slice());
  });
  stream.push(bytes, true);
  return concatBytes(pieces);
}

/** All three codecs; zstd inflates only. */
export const webCodecs: Codecs = codecsOf(lz4, zstd, snappy);
