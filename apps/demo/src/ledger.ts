/** What was acknowledged, or read: per partition the records by offset, their count, bytes and a checksum in offset order. */
import { crc32 } from 'node:zlib';

export interface LedgerEntry {
  readonly offset: number;
  readonly key: string;
  readonly crc: number;
  readonly bytes: number;
}

export class Ledger {
  readonly partitions: LedgerEntry[][];

  constructor(partitionCount: number) {
    this.partitions = Array.from({ length: partitionCount }, () => []);
  }

  add(partition: number, offset: number, key: string, value: string | Uint8Array): void {
    const length = typeof value === 'string' ? Buffer.byteLength(value) : value.length;
    this.partitions[partition]?.push({ offset, key, crc: crc32(value, crc32(key)), bytes: key.length + length });
  }

  get records(): number {
    return this.partitions.reduce((sum, entries) => sum + entries.length, 0);
  }

  get bytes(): number {
    return this.partitions.reduce((sum, entries) => entries.reduce((inner, entry) => inner + entry.bytes, sum), 0);
  }

  /** CRC-32 over the records' checksums in offset order. */
  checksum(partition: number): string {
    const entries = [...(this.partitions[partition] ?? [])].sort((one, other) => one.offset - other.offset);
    const total = entries.reduce((crc, entry) => crc32(entry.crc.toString(16), crc), 0);
    return total.toString(16).padStart(8, '0');
  }
}

export interface PartitionVerdict {
  readonly partition: number;
  readonly records: number;
  readonly checksum: string;
  readonly equal: boolean;
}

export interface Verdict {
  readonly lost: number;
  readonly duplicated: number;
  /** Partitions whose checksum differs between what was acknowledged and what was read. */
  readonly differing: number;
  readonly partitions: readonly PartitionVerdict[];
}

/** Counts what was acknowledged and not read, and what was read more than once, over all readers. */
export function compare(sent: Ledger, readings: readonly { readonly ledger: Ledger }[]): Verdict {
  let lost = 0;
  let duplicated = 0;
  for (const { ledger } of readings) {
    const seen = new Map<string, number>();
    for (const entry of ledger.partitions.flat()) seen.set(entry.key, (seen.get(entry.key) ?? 0) + 1);
    for (const entry of sent.partitions.flat()) if (!seen.has(entry.key)) lost++;
    for (const count of seen.values()) duplicated += count - 1;
  }
  const partitions = sent.partitions.map((entries, partition) => {
    const checksum = sent.checksum(partition);
    const equal = readings.every(({ ledger }) => ledger.checksum(partition) === checksum);
    return { partition, records: entries.length, checksum, equal };
  });
  return { lost, duplicated, differing: partitions.filter((partition) => !partition.equal).length, partitions };
}
