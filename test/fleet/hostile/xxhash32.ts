/** xxHash32 (github.com/Cyan4973/xxHash, doc/xxhash_spec.md) of up to 15 bytes: the check byte of an LZ4 frame's head. */
const prime1 = 0x9e37_79b1;
const prime2 = 0x85eb_ca77;
const prime3 = 0xc2b2_ae3d;
const prime4 = 0x27d4_eb2f;
const prime5 = 0x1656_67b1;

export function xxHash32(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let hash = (prime5 + bytes.length) >>> 0;
  let at = 0;
  for (; at + 4 <= bytes.length; at += 4) {
    hash = Math.imul(rotate(hash + Math.imul(view.getUint32(at, true), prime3), 17), prime4);
  }
  for (; at < bytes.length; at++) {
    hash = Math.imul(rotate(hash + Math.imul(bytes[at] as number, prime5), 11), prime1);
  }
  hash = Math.imul(hash ^ (hash >>> 15), prime2);
  hash = Math.imul(hash ^ (hash >>> 13), prime3);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
