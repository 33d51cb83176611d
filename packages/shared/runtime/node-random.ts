/** The Random port on node:crypto. Bytes come from the system's generator in blocks, so that a draw costs no system call. */
import { randomBytes, randomFillSync } from 'node:crypto';
import type { Random } from '@fleetmq/shared';

const block = new Uint32Array(1024);
let next = block.length;

function draw32(): number {
  if (next === block.length) {
    randomFillSync(block);
    next = 0;
  }
  const value = block[next] as number;
  // What was handed out does not stay in memory.
  block[next++] = 0;
  return value;
}

export const nodeRandom: Random = {
  /** 53 random bits, as many as a float of [0, 1) holds evenly. */
  next: () => ((draw32() >>> 5) * 2 ** 26 + (draw32() >>> 6)) / 2 ** 53,
  bytes: (length) => new Uint8Array(randomBytes(length)),
};
