/** The Checksum port on zlib: CRC-32 (IEEE 802.3), about ten times as fast as the table form. */
import { crc32 } from 'node:zlib';
import type { Checksum } from '@fleetmq/shared';

export const nodeChecksum: Checksum = {
  crc32: (bytes, seed = 0) => crc32(bytes, seed),
};
