/**
 * Bit rot: what a disk may make of the bytes that it once had. Bits flip, a piece of 512 bytes reads as zeros, a file is cut
 * off or gone. A damage is chosen once and then done to a file as often as it is kept (`MemoryDisk` holds two contents of it).
 */
import type { Random } from '@fleetmq/shared';

const pieceBytes = 512;

export type DamageKind = 'flip' | 'zero' | 'cut' | 'lost';

export type Damage =
  | { readonly kind: 'flip'; readonly bits: readonly number[] }
  | { readonly kind: 'zero'; readonly from: number; readonly to: number }
  | { readonly kind: 'cut'; readonly size: number }
  | { readonly kind: 'lost' };

/** Of a file with `length` bytes, which is not empty. */
export function chooseDamage(kind: DamageKind, length: number, random: Random): Damage {
  const below = (end: number): number => Math.floor(random.next() * end);
  switch (kind) {
    case 'flip': {
      // Mostly one bit, or several of neighbouring bytes.
      const first = below(length * 8);
      const count = random.next() < 0.5 ? 1 : 2 + below(7);
      const near = Array.from({ length: count - 1 }, () => Math.min(length * 8 - 1, first + below(64)));
      return { kind, bits: [...new Set([first, ...near])] };
    }
    case 'zero': {
      const from = Math.floor(below(length) / pieceBytes) * pieceBytes;
      return { kind, from, to: Math.min(length, from + pieceBytes) };
    }
    case 'cut':
      return { kind, size: below(length) };
    default:
      return { kind };
  }
}

/** The bytes that it touches: from, and up to without. */
export function reachOf(damage: Damage, length: number): { readonly from: number; readonly to: number } {
  switch (damage.kind) {
    case 'flip':
      return { from: Math.min(...damage.bits) >> 3, to: (Math.max(...damage.bits) >> 3) + 1 };
    case 'zero':
      return damage;
    case 'cut':
      return { from: damage.size, to: length };
    default:
      return { from: 0, to: length };
  }
}

/** What is left of the bytes; a file that is lost is not there any more, which is not done here. */
export function damaged(bytes: Uint8Array, damage: Damage): Uint8Array {
  if (damage.kind === 'cut') return bytes.slice(0, damage.size);
  const after = bytes.slice();
  if (damage.kind === 'zero') after.fill(0, damage.from, damage.to);
  if (damage.kind === 'flip') {
    for (const bit of damage.bits) {
      const byte = bit >> 3;
      if (byte < after.length) after[byte] = (after[byte] as number) ^ (1 << (bit & 7));
    }
  }
  return after;
}
