/**
 * CRC-32 (IEEE 802.3) by table, for browsers and the simulator; Node uses `zlib.crc32` behind the same port. And the CRC of
 * two stretches from the CRCs of each, so that bytes whose CRC is known are not read again.
 */
import type { Checksum } from './ports.ts';

const polynomial = 0xedb88320;

const table = new Uint32Array(256).map((_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1;
  return value;
});

export const tableChecksum: Checksum = {
  crc32(bytes: Uint8Array, seed = 0): number {
    let crc = ~seed;
    for (let i = 0; i < bytes.length; i++) crc = (table[(crc ^ (bytes[i] as number)) & 0xff] as number) ^ (crc >>> 8);
    return ~crc >>> 0;
  },
};

/**
 * The CRC-32 of two stretches that lie one behind the other, from the CRC of each and the length of the second.
 *
 * A CRC is the remainder of its bytes, as a polynomial over GF(2), by the CRC's polynomial. Bytes that follow multiply what
 * came before by x^8 each, so: first * x^(8 * length) + second, where the inversions at both ends cancel each other. Costs
 * about as much as the CRC of 3 KiB, whatever the length.
 */
export function combineCrc32(first: number, second: number, secondLength: number): number {
  return (multiply(powerOfX(8 * secondLength), first) ^ second) >>> 0;
}

/** Bit 31 is the coefficient of x^0, as in every CRC that takes its bytes with the lowest bit first. */
const one = 0x8000_0000;

function multiply(a: number, b: number): number {
  let product = 0;
  let shifted = b;
  for (let bits = a; bits !== 0; bits <<= 1) {
    product ^= shifted & (bits >> 31);
    shifted = (shifted >>> 1) ^ (polynomial & -(shifted & 1));
  }
  return product;
}

/** x^(2^k) at place k, as far as 2^53 goes. */
const squares = new Int32Array(53);
squares[0] = one >>> 1;
for (let k = 1; k < squares.length; k++) {
  const root = squares[k - 1] as number;
  squares[k] = multiply(root, root);
}

function powerOfX(exponent: number): number {
  let power = one | 0;
  for (let k = 0, rest = exponent; rest > 0; k++, rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) power = multiply(squares[k] as number, power);
  }
  return power;
}
