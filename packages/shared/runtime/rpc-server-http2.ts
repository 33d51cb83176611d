/**
 * The HTTP/2 half of a listener: settings on purpose, one record per session, and the watch over peers that misuse the
 * protocol. Streams of the lane go to the lane; all others become request and response objects for the node handler.
 *
 * Bounds per session: streams, header list, memory, resets in either direction (CVE-2023-44487, CVE-2025-8671), PING and
 * SETTINGS frames (CVE-2019-9512, CVE-2019-9515), time until the first SETTINGS, silence under open streams (PING), idleness, and the time that a request body may take.
 * Node's defaults that are replaced here: 4,294,967,295 streams, a 64 KiB window, push, 1,000 invalid frames.
 */
import * as http2 from 'node:http2';
import type { Socket } from 'node:net';
import type { Logger } from '@fleetmq/shared';
import { describeConnection, rememberSession } from './lane/connection.ts';
import type { Lane } from './lane/server.ts';
import type { ListenerLimits, NodeHandler } from './rpc-server-limits.ts';
import { TokenBucket } from './token-bucket.ts';

export interface Http2HalfOptions {
  readonly limits: ListenerLimits;
  readonly logger: Logger;
  readonly lane: Lane | undefined;
  readonly handler: NodeHandler;
  /** Whether a request to this path may stay open without its end, because it is a stream itself. */
  readonly isRequestStream: (path: string) => boolean;
  /** Told when a stream opens (+1) and closes (-1). */
  readonly onActive: (change: 1 | -1) => void;
}

/** A stream's error is followed by its close event. Without a listener one reset from a peer would end the process. */
const ignoreError = (): void => undefined;

/** What a SETTINGS frame counts for: it is rarer than a PING, and costs more. */
const settingsCost = 20;

interface SessionRecord {
  readonly socket: Socket;
  openStreams: number;
  readonly resets: TokenBucket;
  readonly pings: TokenBucket;
  bytesSeen: number;
  seenAtMs: number;
  pingedAtMs: number | undefined;
}

export class Http2Half {
  readonly #options: Http2HalfOptions;
  readonly #limits: ListenerLimits;
  readonly #server: http2.Http2Server;
  readonly #records = new Map<http2.ServerHttp2Session, SessionRecord>();
  readonly #watch: NodeJS.Timeout;
  /** The socket that is being handed over: a session cannot be asked for its real one. */
  #accepting: Socket | undefined;

  constructor(options: Http2HalfOptions) {
    this.#options = options;
    this.#limits = options.limits;
    this.#server = createServer(options.limits);
    this.#server.on('session', (session) => this.#onSession(session, this.#accepting as Socket));
    this.#server.on('sessionError', (error) => options.logger.debug({ err: error }, 'HTTP/2 session failed'));
    this.#server.on('stream', (stream, headers, _flags, rawHeaders) => {
      this.#onStream(stream, headers, rawHeaders as unknown as string[]);
    });
    this.#watch = setInterval(() => this.#watchSessions(), options.limits.checkMs);
    this.#watch.unref();
  }

  /** Takes over a socket whose peer speaks HTTP/2. */
  accept(socket: Socket): void {
    this.#accepting = socket;
    this.#server.emit('connection', socket);
    this.#accepting = undefined;
  }

  /** GOAWAY for every session: open streams go on, new ones are refused. */
  goAway(): void {
    for (const session of this.#records.keys()) session.close();
  }

  /** Stops the watch. The owner of the sockets cuts them. */
  close(): void {
    clearInterval(this.#watch);
  }

  #onSession(session: http2.ServerHttp2Session, socket: Socket): void {
    const nowMs = performance.now();
    const { resetsBurst, resetsPerSecond, pingsBurst, pingsPerSecond } = this.#limits;
    const record: SessionRecord = {
      socket,
      openStreams: 0,
      resets: new TokenBucket({ burst: resetsBurst, perSecond: resetsPerSecond }, nowMs),
      pings: new TokenBucket({ burst: pingsBurst, perSecond: pingsPerSecond }, nowMs),
      bytesSeen: 0,
      seenAtMs: nowMs,
      pingedAtMs: undefined,
    };
    this.#records.set(session, record);
    rememberSession(session, describeConnection(socket));
    if (!session.destroyed) session.setLocalWindowSize(this.#limits.connectionWindowBytes);
    const settingsBy = setTimeout(() => session.destroy(), this.#limits.firstBytesMs);
    session.once('remoteSettings', () => clearTimeout(settingsBy));
    session.on('remoteSettings', () => this.#countPing(session, record, settingsCost));
    session.on('ping', () => this.#countPing(session, record, 1));
    session.once('close', () => {
      clearTimeout(settingsBy);
      this.#records.delete(session);
    });
  }

  #onStream(stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders, rawHeaders: string[]): void {
    stream.on('error', ignoreError);
    const session = stream.session as http2.ServerHttp2Session | undefined;
    const record = session && this.#records.get(session);
    if (session === undefined || record === undefined) return;
    if (stream.destroyed) {
      this.#countReset(session, record);
      return;
    }
    record.openStreams++;
    this.#options.onActive(1);
    stream.once('close', () => {
      record.openStreams--;
      this.#options.onActive(-1);
      if (stream.rstCode !== http2.constants.NGHTTP2_NO_ERROR) this.#countReset(session, record);
    });
    const route = this.#options.lane?.find(headers);
    if (headerBytes(rawHeaders) > this.#limits.headerBytesMax) refuseHeaders(stream);
    else if (route !== undefined) this.#options.lane?.serve(route, stream, headers);
    else this.#serveNode(stream, headers, rawHeaders);
  }

  /** Resets of either side cost a token; a connection without tokens is closed. */
  #countReset(session: http2.ServerHttp2Session, record: SessionRecord): void {
    if (!record.resets.take(performance.now())) this.#calm(session, record, 'too many streams were reset');
  }

  /** Frames that the server has to answer and that cost the peer nothing. */
  #countPing(session: http2.ServerHttp2Session, record: SessionRecord, cost: number): void {
    if (!record.pings.take(performance.now(), cost)) this.#calm(session, record, 'too many PING or SETTINGS frames');
  }

  #calm(session: http2.ServerHttp2Session, record: SessionRecord, reason: string): void {
    if (session.destroyed) return;
    this.#options.logger.warn({ peer: record.socket.remoteAddress }, `connection closed: ${reason}`);
    session.goaway(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
    session.destroy();
  }

  #serveNode(stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders, rawHeaders: string[]): void {
    if (!this.#options.isRequestStream(headers[':path'] ?? '')) {
      const timer = setTimeout(() => {
        if (!stream.readableEnded) stream.close(http2.constants.NGHTTP2_CANCEL);
      }, this.#limits.requestTimeoutMs);
      stream.once('close', () => clearTimeout(timer));
    }
    const request = new http2.Http2ServerRequest(stream, headers, {}, rawHeaders);
    this.#options.handler(request, new http2.Http2ServerResponse(stream));
  }

  #watchSessions(): void {
    const nowMs = performance.now();
    for (const [session, record] of this.#records) this.#watchSession(session, record, nowMs);
  }

  #watchSession(session: http2.ServerHttp2Session, record: SessionRecord, nowMs: number): void {
    if (session.destroyed) {
      record.socket.destroy(); // Its last bytes have had their time; Node would wait for the peer for ever.
      return;
    }
    const { bytesRead } = record.socket;
    if (bytesRead !== record.bytesSeen) {
      record.bytesSeen = bytesRead;
      record.seenAtMs = nowMs;
      record.pingedAtMs = undefined;
      return;
    }
    const { idleMs, pingMs, pingTimeoutMs } = this.#limits;
    const silentMs = nowMs - record.seenAtMs;
    if (record.openStreams === 0) {
      // A session that is closing and still there waits for a peer that does not answer.
      if (session.closed && silentMs >= pingMs) session.destroy();
      else if (silentMs >= idleMs) session.close();
    } else if (record.pingedAtMs !== undefined) {
      if (nowMs - record.pingedAtMs >= pingTimeoutMs) session.destroy();
    } else if (silentMs >= pingMs) {
      record.pingedAtMs = nowMs;
      // The answer shows as bytes that were read. After GOAWAY no PING goes out, and only the deadline counts.
      session.ping(() => undefined);
    }
  }
}

/** Node only announces `maxHeaderListSize`; counting is left to us (RFC 9113, section 6.5.2: 32 bytes more per field). */
function headerBytes(rawHeaders: readonly string[]): number {
  let bytes = rawHeaders.length * 16;
  for (const text of rawHeaders) bytes += text.length;
  return bytes;
}

function refuseHeaders(stream: http2.ServerHttp2Stream): void {
  stream.respond({ ':status': 431 }, { endStream: true });
  stream.close(http2.constants.NGHTTP2_NO_ERROR);
}

function createServer(limits: ListenerLimits): http2.Http2Server {
  return http2.createServer({
    settings: {
      maxConcurrentStreams: limits.streamsPerConnectionMax,
      initialWindowSize: limits.streamWindowBytes,
      maxHeaderListSize: limits.headerBytesMax,
      enablePush: false,
    },
    maxHeaderListPairs: limits.headerPairsMax,
    maxSessionMemory: limits.sessionMemoryMiB,
    maxSessionInvalidFrames: 50,
    maxSessionRejectedStreams: 50,
    maxOutstandingPings: 10,
    maxSettings: 32,
    streamResetBurst: limits.resetsBurst,
    streamResetRate: limits.resetsPerSecond,
    unknownProtocolTimeout: limits.firstBytesMs,
  });
}
