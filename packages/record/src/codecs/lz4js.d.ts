declare module 'lz4js' {
  /** One LZ4 frame of all of `bytes`; an array where typed arrays cannot be sliced. */
  export function compress(bytes: Uint8Array): ArrayLike<number>;
  /** Inflates one block into `target` at `targetIndex` and returns the index behind it. */
  export function decompressBlock(
    source: Uint8Array,
    target: Uint8Array,
    sourceIndex: number,
    sourceLength: number,
    targetIndex: number,
  ): number;
}
