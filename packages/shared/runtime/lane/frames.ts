/**
 * The frames of gRPC: one flag byte, four bytes of length, then the message. Cuts a byte stream into messages as it comes
 * and writes messages as frames. A message that lies in one chunk is a view of that chunk; any other is copied once.
 *
 * Never allocates by what a length prefix claims: a prefix above the limit is refused before anything else, and memory is
 * taken only for bytes that have arrived. Many tiny chunks are gathered, so that a slow drip costs no object per byte.
 * Invariants: 0 <= header bytes < 5 between chunks; held bytes < length of the message that is being read.
 * Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md ("Length-Prefixed-Message").
 */
import type { Writable } from 'node:stream';
import { type BufferPool, DomainError } from '@fleetmq/shared';

/** One outgoing message, whole or as pieces that follow each other. The bytes must not change before the call has ended. */
export type RawMessage = Uint8Array | readonly Uint8Array[] | OwnedMessage;

/** A message whose memory the sender wants back. */
export interface OwnedMessage {
  readonly pieces: readonly Uint8Array[];
  /** Runs once, when the bytes have left. When they are dropped, or may still be on their way, it never runs. */
  readonly release: () => void;
}

const headerLength = 5;
/** Chunks below this size are gathered in a block instead of being held one by one. */
const smallChunk = 1_024;
const blockLength = 8_192;
/** A message up to this size is copied behind its header: one write is cheaper than two. */
const joinedMax = 8_192;

const awaitingHeader = -1;

export interface FrameReaderOptions {
  /** Where messages that are put together from several chunks lie, where it has memory for their length. */
  readonly buffers?: BufferPool | undefined;
  /** Told of each chunk that the reader has done with: all of it was copied. The others are in the hands of who got the messages. */
  readonly letGo?: ((chunk: Uint8Array) => void) | undefined;
}

/** Cuts chunks into messages. Throws DomainErrors; after a throw it must not be used again. */
export class FrameReader {
  readonly #messageBytesMax: number;
  readonly #buffers: BufferPool | undefined;
  readonly #letGo: ((chunk: Uint8Array) => void) | undefined;
  #length = awaitingHeader;
  #headerBytes = 0;
  readonly #header = new Uint8Array(headerLength);
  #held: Uint8Array[] = [];
  /** Chunks of which nothing is needed once the held pieces are copied. */
  #heldChunks: Uint8Array[] = [];
  #heldBytes = 0;
  #block: Uint8Array | undefined;
  #blockStart = 0;
  #blockEnd = 0;

  constructor(messageBytesMax: number, { buffers, letGo }: FrameReaderOptions = {}) {
    this.#messageBytesMax = messageBytesMax;
    this.#buffers = buffers;
    this.#letGo = letGo;
  }

  /** Takes the next chunk and hands each message that it completes to `deliver`, in order. Keeps views of `chunk`. */
  push(chunk: Uint8Array, deliver: (message: Uint8Array) => void): void {
    let at = 0;
    let isDelivered = false;
    let isHeld = false;
    while (at < chunk.length) {
      if (this.#length === awaitingHeader) {
        at = this.#readHeader(chunk, at);
        if (this.#length === awaitingHeader) break;
      }
      const missing = this.#length - this.#heldBytes;
      if (chunk.length - at < missing) {
        if (at < chunk.length) isHeld = this.#hold(chunk.subarray(at));
        break;
      }
      const piece = chunk.subarray(at, at + missing);
      at += missing;
      if (this.#heldBytes === 0) isDelivered = true;
      const message = this.#heldBytes === 0 ? piece : this.#join(piece);
      this.#length = awaitingHeader;
      this.#headerBytes = 0;
      deliver(message);
    }
    if (isDelivered) return;
    if (isHeld) this.#heldChunks.push(chunk);
    else this.#letGo?.(chunk);
  }

  /** To be called at the end of the stream: a frame that is cut short is refused with INVALID_REQUEST. */
  finish(): void {
    if (this.#length === awaitingHeader && this.#headerBytes === 0) return;
    const got = this.#length === awaitingHeader ? this.#headerBytes : headerLength + this.#heldBytes;
    throw new DomainError('INVALID_REQUEST', `the stream ends ${got} bytes into a gRPC frame`);
  }

  #readHeader(chunk: Uint8Array, start: number): number {
    let at = start;
    while (this.#headerBytes < headerLength && at < chunk.length) {
      this.#header[this.#headerBytes++] = chunk[at++] as number;
    }
    if (this.#headerBytes < headerLength) return at;
    const [flag, a, b, c, d] = this.#header as unknown as [number, number, number, number, number];
    const length = a * 0x1_00_00_00 + (b << 16) + (c << 8) + d;
    // No encoding was agreed on, by either side: gRPC wants INTERNAL for it (compression.md, "ill-constructed message").
    if (flag === 1) throw new DomainError('UNKNOWN_ERROR', 'a message is marked as compressed, without an encoding');
    if (flag !== 0) throw new DomainError('INVALID_REQUEST', `a gRPC frame starts with flag ${flag}, not with 0 or 1`);
    if (length > this.#messageBytesMax) {
      throw new DomainError(
        'REQUEST_TOO_LARGE',
        `a message of ${length} bytes is over the limit of ${this.#messageBytesMax} bytes`,
      );
    }
    this.#length = length;
    return at;
  }

  /** False when the piece was copied. */
  #hold(piece: Uint8Array): boolean {
    this.#heldBytes += piece.length;
    if (piece.length >= smallChunk) {
      this.#closeBlock();
      this.#held.push(piece);
      return true;
    }
    if (this.#block === undefined || this.#blockEnd + piece.length > this.#block.length) {
      this.#closeBlock();
      this.#block = new Uint8Array(blockLength);
      this.#blockStart = 0;
      this.#blockEnd = 0;
    }
    this.#block.set(piece, this.#blockEnd);
    this.#blockEnd += piece.length;
    return false;
  }

  #closeBlock(): void {
    if (this.#block === undefined || this.#blockEnd === this.#blockStart) return;
    this.#held.push(this.#block.subarray(this.#blockStart, this.#blockEnd));
    this.#blockStart = this.#blockEnd;
  }

  #join(last: Uint8Array): Uint8Array {
    this.#closeBlock();
    // Not from Node's pool: the message may live long, and its slice must not be shared with anyone.
    const message = this.#buffers?.take(this.#length)?.bytes ?? Buffer.allocUnsafeSlow(this.#length);
    let at = 0;
    for (const piece of this.#held) {
      message.set(piece, at);
      at += piece.length;
    }
    message.set(last, at);
    if (this.#letGo !== undefined) for (const chunk of this.#heldChunks) this.#letGo(chunk);
    this.#held = [];
    this.#heldChunks = [];
    this.#heldBytes = 0;
    this.#block = undefined;
    return message;
  }
}

/** A message as its pieces. */
function piecesOf(message: RawMessage): readonly Uint8Array[] {
  if (message instanceof Uint8Array) return [message];
  return 'pieces' in message ? message.pieces : message;
}

/** Bytes of a message. */
export function messageLength(message: RawMessage): number {
  if (message instanceof Uint8Array) return message.length;
  let length = 0;
  for (const piece of piecesOf(message)) length += piece.length;
  return length;
}

/** A message as one stretch of memory, the sender's where that is possible; one that is owned is copied and let go. */
export function joinPieces(message: RawMessage): Uint8Array {
  if (message instanceof Uint8Array) return message;
  const joined = Buffer.concat(piecesOf(message));
  if ('release' in message) message.release();
  return joined;
}

function writeHeader(target: Uint8Array, length: number): void {
  target[0] = 0;
  target[1] = length >>> 24;
  target[2] = (length >>> 16) & 0xff;
  target[3] = (length >>> 8) & 0xff;
  target[4] = length & 0xff;
}

function joinedFrame(message: RawMessage, length: number): Buffer {
  const frame = Buffer.allocUnsafe(headerLength + length);
  writeHeader(frame, length);
  if (message instanceof Uint8Array) {
    frame.set(message, headerLength);
    return frame;
  }
  let at = headerLength;
  for (const piece of piecesOf(message)) {
    frame.set(piece, at);
    at += piece.length;
  }
  if ('release' in message) message.release();
  return frame;
}

/** Writes one message as a frame; large ones without copying them. False when the stream asks to wait for `drain`. */
export function writeFrame(stream: Writable, message: RawMessage, length: number = messageLength(message)): boolean {
  if (length <= joinedMax) return stream.write(joinedFrame(message, length));
  const header = Buffer.allocUnsafe(headerLength);
  writeHeader(header, length);
  stream.cork();
  stream.write(header);
  const pieces = piecesOf(message);
  for (let i = 0; i < pieces.length - 1; i++) stream.write(pieces[i]);
  const free = stream.write(pieces.at(-1), onLeft(message));
  stream.uncork();
  return free;
}

/** A stream writes in order: when its last piece has left, so has the message. Node calls back once the kernel has it. */
function onLeft(message: RawMessage): ((error?: Error | null) => void) | undefined {
  if (message instanceof Uint8Array || !('release' in message)) return undefined;
  return (error) => {
    if (!error) message.release();
  };
}

/** Writes the only or last message and ends the stream. */
export function endWithFrame(stream: Writable, message: RawMessage, length: number = messageLength(message)): void {
  if (length <= joinedMax) {
    stream.end(joinedFrame(message, length));
    return;
  }
  writeFrame(stream, message, length);
  stream.end();
}
