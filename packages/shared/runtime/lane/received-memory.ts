/**
 * Gives memory of received data back to the system at once, instead of when the garbage collector finds it: at hundreds of
 * megabytes per second, collecting costs more processor time than everything else that a broker does with a record.
 *
 * Node reads from a socket into slabs of up to 64 KiB, one per read, and HTTP/2 hands out the payloads of DATA frames as views
 * of a slab, possibly to several streams. A slab may go only when nobody looks at any part of it: so each stream says which
 * chunks it has done with, and a slab is given back when those chunks are provably all the data in it. The proof: nothing but
 * a frame header (9 bytes) lies before, or between two of them, and nothing behind the last one. Data of another stream would
 * need 9 bytes more for its own header. What cannot be proven is left to the collector, as everything was before.
 * That nothing lies behind the last chunk matters for another reason: while HTTP/2 waits for a write, it keeps the rest of a slab
 * to read it later, and looks at nothing that it has handed out.
 * Source: Http2Session::OnStreamRead, ConsumeHTTP2Data and OnDataChunkReceived in Node's src/node_http2.cc; RFC 9113, 4.1.
 */

/** What has been let go of a slab. */
interface Slab {
  start: number;
  end: number;
  bytes: number;
  chunks: number;
}

const frameHeaderLength = 9;

const slabs = new WeakMap<ArrayBufferLike, Slab>();
/** To be given back in the next turn of the event loop: whoever is on the stack may still be reading. */
let spent: ArrayBuffer[] = [];

/**
 * Says that nobody will look at this chunk again, once per chunk that an HTTP/2 stream has delivered, and never for any other
 * memory. Undefined in a Node that cannot give memory back (before 21).
 */
export const letGoOfChunk: ((chunk: Uint8Array) => void) | undefined =
  typeof ArrayBuffer.prototype.transfer === 'function' ? letGo : undefined;

function letGo({ buffer, byteOffset, length }: Uint8Array): void {
  const slab = slabs.get(buffer) ?? { start: byteOffset, end: 0, bytes: 0, chunks: 0 };
  if (slab.chunks === 0) slabs.set(buffer, slab);
  slab.start = Math.min(slab.start, byteOffset);
  slab.end = Math.max(slab.end, byteOffset + length);
  slab.bytes += length;
  slab.chunks++;
  if (!isAllData(slab, buffer.byteLength)) return;
  if (spent.length === 0) setImmediate(giveBack);
  spent.push(buffer as ArrayBuffer);
}

function isAllData({ start, end, bytes, chunks }: Slab, length: number): boolean {
  return start <= frameHeaderLength && end === length && end - start === bytes + frameHeaderLength * (chunks - 1);
}

function giveBack(): void {
  const buffers = spent;
  spent = [];
  for (const buffer of buffers) buffer.transfer(0);
}
