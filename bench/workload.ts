/**
 * What a case writes and reads: one definition for every target, so that figures of different ones can stand side by side. A
 * target that has no such thing (partitions, codecs, levels of acknowledgment) ignores the field, and its table says so.
 *
 * Values come from a ring that is made before the clock starts. Noise cannot be compressed. JSON lines can, and their ring is
 * longer than any batch or window of a codec, so that no line is found again as a whole.
 */
import { type Random, seededRandom } from '@fleetmq/shared';

export type AckLevel = 'none' | 'leader' | 'majority' | 'all';
export type CodecName = 'none' | 'lz4' | 'zstd' | 'snappy';

export interface Workload {
  /** Bytes of a value; keys and headers are empty. */
  readonly size: number;
  readonly content: 'noise' | 'json';
  readonly partitions: number;
  readonly replication: number;
  readonly acks: AckLevel;
  readonly codec: CodecName;
}

/** What a case has where it says nothing else. */
export const plainWorkload: Workload = {
  size: 1024,
  content: 'noise',
  partitions: 1,
  replication: 1,
  acks: 'all',
  codec: 'none',
};

const noiseRingBytes = 256 << 10;
const jsonRingBytes = 4 << 20;

/** A power of two of them: take `values[i & (values.length - 1)]`. */
export function valuesOf({ size, content }: Pick<Workload, 'size' | 'content'>): readonly Buffer[] {
  const random = seededRandom(size);
  const ringBytes = content === 'noise' ? noiseRingBytes : jsonRingBytes;
  const count = 2 ** Math.max(0, Math.floor(Math.log2(ringBytes / size)));
  return Array.from({ length: count }, (_, index) =>
    content === 'noise' ? Buffer.from(random.bytes(size)) : jsonLine(size, index, random),
  );
}

/** An order of a shop, with as many items as fit; the rest is a note. */
function jsonLine(size: number, index: number, random: Random): Buffer {
  const below = (bound: number): number => Math.floor(random.next() * bound);
  const hex = (length: number): string => Buffer.from(random.bytes(length / 2)).toString('hex');
  const order = {
    id: `order-${hex(16)}`,
    placedAt: new Date(1_760_000_000_000 + index * 1_337).toISOString(),
    customer: { id: below(1_000_000), country: ['CH', 'DE', 'FR', 'GB', 'US'][below(5)], isNew: below(4) === 0 },
    items: [] as unknown[],
    note: '',
  };
  for (;;) {
    const sku = `sku-${below(100_000)}`;
    order.items.push({ sku, quantity: 1 + below(5), priceCents: 99 + below(20_000), warehouse: `w${below(12)}` });
    if (JSON.stringify(order).length > size) break;
  }
  order.items.pop();
  order.note = hex(2 * Math.ceil(size / 2)).slice(0, size - JSON.stringify(order).length);
  return Buffer.from(JSON.stringify(order));
}
