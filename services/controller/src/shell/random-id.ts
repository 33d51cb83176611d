/** Ids of things that nobody names: 32 hexadecimal digits, from 16 random bytes. */
import type { Random } from '@fleetmq/shared';

export function randomId(random: Random): string {
  return Array.from(random.bytes(16), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
