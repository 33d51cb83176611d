/**
 * How many bytes of a log a replica has, by its share of the offsets: an estimate, for what was copied before anybody counted.
 * Exact at both ends.
 */
export interface LogExtent {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly sizeBytes: number;
}

/** `durableEnd`: of the replica; below the start of the log it has none of it. */
export function copiedBytes({ startOffset, endOffset, sizeBytes }: LogExtent, durableEnd: number): number {
  if (durableEnd >= endOffset) return sizeBytes;
  if (durableEnd <= startOffset) return 0;
  return Math.floor(sizeBytes * ((durableEnd - startOffset) / (endOffset - startOffset)));
}
