/**
 * HTTP/2 by hand over a socket: only as much of it as it takes to be a bad peer. Frames are written as they are asked for,
 * right or wrong; of what comes back types, RST and GOAWAY codes are counted. Headers are literals without compression
 * (RFC 7541, section 6.2.2), and those of the server are not decoded: whoever wants a status uses a real client.
 */
import net from 'node:net';

export const frameType = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7, window: 8, continuation: 9 };
export const flag = { endStream: 1, ack: 1, endHeaders: 4 };

/** RFC 9113, section 7. */
const errorNames = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
];
const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const frameHead = 9;

export function frame(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const bytes = Buffer.alloc(frameHead + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(streamId, 5);
  bytes.set(payload, frameHead);
  return bytes;
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A SETTINGS frame with one setting; 4 is the initial window. */
export function settings(id: number, value: number): Buffer {
  const payload = Buffer.alloc(6);
  payload.writeUInt16BE(id);
  payload.writeUInt32BE(value, 2);
  return frame(frameType.settings, 0, 0, payload);
}

function literal(name: string, value: string): Buffer {
  return Buffer.concat([
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ]);
}

/** The header block of a plain gRPC call. */
export function grpcHeaders(path: string, more: Readonly<Record<string, string>> = {}): Buffer {
  return Buffer.concat([
    literal(':method', 'POST'),
    literal(':scheme', 'http'),
    literal(':path', path),
    literal(':authority', 'x'),
    literal('content-type', 'application/grpc'),
    literal('te', 'trailers'),
    ...Object.entries(more).map(([name, value]) => literal(name, value)),
  ]);
}

export function grpcFrame(message: Uint8Array, claimedLength = message.length, flags = 0): Buffer {
  return Buffer.concat([Buffer.from([flags]), uint32(claimedLength), message]);
}

export class RawHttp2 {
  readonly socket: net.Socket;
  readonly closed: Promise<void>;
  /** Called for each RST_STREAM. */
  onReset: (streamId: number, code: string) => void = () => undefined;
  /** Called for each HEADERS frame; `isLast` for trailers. */
  onHeaders: (streamId: number, isLast: boolean) => void = () => undefined;
  /** Whether SETTINGS of the server are answered, which must not be between the frames of a header block. */
  acksSettings = true;
  goAway: string | undefined;
  pingAcks = 0;
  settingsAcks = 0;
  dataBytes = 0;
  #nextStreamId = 1;
  #received: Buffer = Buffer.alloc(0);

  private constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => this.#read(chunk));
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
  }

  /** Connects and says the preface and `first`, which should be SETTINGS. */
  static async open(address: string, first: Buffer = frame(frameType.settings, 0, 0)): Promise<RawHttp2> {
    const { hostname, port } = new URL(`http://${address}`);
    const socket = net.connect(Number(port), hostname);
    const connection = new RawHttp2(socket);
    const connected = new Promise<void>((resolve) => socket.once('connect', () => resolve()));
    await Promise.race([connected, connection.closed]);
    connection.write(preface, first);
    return connection;
  }

  get isOpen(): boolean {
    return !this.socket.destroyed && this.socket.writable && this.goAway === undefined;
  }

  /** What the connection came to, in one word. */
  get ending(): string {
    return this.goAway === undefined ? 'closed' : `GOAWAY ${this.goAway}`;
  }

  write(...frames: readonly Uint8Array[]): void {
    if (this.socket.writable)
      this.socket.write(frames.length === 1 ? (frames[0] as Uint8Array) : Buffer.concat(frames));
  }

  /** The id of the next stream of a client: 1, 3, 5 ... */
  nextStreamId(): number {
    const id = this.#nextStreamId;
    this.#nextStreamId += 2;
    return id;
  }

  destroy(): void {
    this.socket.destroy();
  }

  #read(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    for (;;) {
      if (this.#received.length < frameHead) return;
      const length = this.#received.readUIntBE(0, 3);
      if (this.#received.length < frameHead + length) return;
      const payload = this.#received.subarray(frameHead, frameHead + length);
      const [type, flags] = [this.#received[3] as number, this.#received[4] as number];
      this.#take(type, flags, this.#received.readUInt32BE(5), payload);
      this.#received = this.#received.subarray(frameHead + length);
    }
  }

  #take(type: number, flags: number, streamId: number, payload: Buffer): void {
    if (type === frameType.data) this.dataBytes += payload.length;
    else if (type === frameType.headers) this.onHeaders(streamId, (flags & flag.endStream) !== 0);
    else if (type === frameType.reset) this.onReset(streamId, errorName(payload.readUInt32BE(0)));
    else if (type === frameType.goAway) this.goAway ??= errorName(payload.readUInt32BE(4));
    else if (type === frameType.ping && (flags & flag.ack) !== 0) this.pingAcks++;
    else if (type === frameType.settings && (flags & flag.ack) !== 0) this.settingsAcks++;
    else if (type === frameType.settings && this.acksSettings) this.write(frame(frameType.settings, flag.ack, 0));
  }
}

function errorName(code: number): string {
  return errorNames[code] ?? String(code);
}
