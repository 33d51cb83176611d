declare module 'snappyjs' {
  export function compress(bytes: Uint8Array): Uint8Array;
  /** Throws when the block declares more than `maxLength`. */
  export function uncompress(bytes: Uint8Array, maxLength: number): Uint8Array;
}
