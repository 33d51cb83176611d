/** CRC-32 (IEEE 802.3) by table, for browsers and the simulator; Node uses `zlib.crc32` behind the same port. */
import type { Checksum } from './ports.ts';

const table = new Uint32Array(256).map((_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

export const tableChecksum: Checksum = {
  crc32(bytes: Uint8Array, seed = 0): number {
    let crc = ~seed;
    for (let i = 0; i < bytes.length; i++) crc = (table[(crc ^ (bytes[i] as number)) & 0xff] as number) ^ (crc >>> 8);
    return ~crc >>> 0;
  },
};
