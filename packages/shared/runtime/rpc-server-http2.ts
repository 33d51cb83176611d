/**
 * The HTTP/2 half of a listener: settings on purpose, one record per session, and the watch over peers that misuse the
 * protocol. Streams of the lane go to the lane; all others become request and response objects for the node handler.
 *
 * Bounds per session: streams, header list, memory, resets in either direction (CVE-2023-44487, CVE-2025-8671), time until
 * the first SETTINGS, silence under open streams (PING), idleness, and the time that a request body may take.
 * Node's defaults that are replaced here: 4,294,967,295 streams, a 64 KiB window, push, 1,000 invalid frames.
 */
import * as http2 from 'node:http2';
import type { Socket } from 'node:net';
import type { Logger } from '@fleetmq/shared';
import { describeConnection, rememberSession } from './lane/connection.ts';
import type { Lane } from './lane/server.ts';
import type { ListenerLimits, NodeHandler } from './rpc-server-limits.ts';

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

export interface Http2Half {
  /** Takes over a socket whose peer speaks HTTP/2. */
  accept(socket: Socket): void;
  /** GOAWAY for every session. */
  goAway(): void;
  /** Stops the watch. */
  close(): void;
}

interface SessionRecord {
  readonly socket: Socket;
  openStreams: number;
  resetTokens: number;
  tokensAtMs: number;
  bytesSeen: number;
  seenAtMs: number;
  pingedAtMs: number | undefined;
}

export function createHttp2Half(options: Http2HalfOptions): Http2Half {
  const { limits, logger, lane } = options;
  const records = new Map<http2.ServerHttp2Session, SessionRecord>();
  const server = createServer(limits);

  /** The socket that is being handed over: a session cannot be asked for its real one. */
  let accepting: Socket | undefined;

  server.on('session', (session) => {
    const socket = accepting as Socket;
    const nowMs = performance.now();
    records.set(session, {
      socket,
      openStreams: 0,
      resetTokens: limits.resetsBurst,
      tokensAtMs: nowMs,
      bytesSeen: 0,
      seenAtMs: nowMs,
      pingedAtMs: undefined,
    });
    rememberSession(session, describeConnection(socket));
    session.setLocalWindowSize(limits.connectionWindowBytes);
    const settingsBy = setTimeout(() => session.destroy(), limits.firstBytesMs);
    session.once('remoteSettings', () => clearTimeout(settingsBy));
    session.once('close', () => {
      clearTimeout(settingsBy);
      records.delete(session);
    });
  });
  server.on('sessionError', (error) => logger.debug({ err: error }, 'HTTP/2 session failed'));

  server.on('stream', (stream, headers, _flags, rawHeaders) => {
    const session = stream.session as http2.ServerHttp2Session;
    const record = records.get(session);
    if (record === undefined || stream.destroyed) return;
    record.openStreams++;
    options.onActive(1);
    stream.once('close', () => {
      record.openStreams--;
      options.onActive(-1);
      if (stream.rstCode !== http2.constants.NGHTTP2_NO_ERROR) countReset(session, record);
    });
    const route = lane?.find(headers);
    if (route !== undefined) lane?.serve(route, stream, headers);
    else serveNode(stream, headers, rawHeaders as unknown as string[]);
  });

  function countReset(session: http2.ServerHttp2Session, record: SessionRecord): void {
    const nowMs = performance.now();
    const refill = ((nowMs - record.tokensAtMs) / 1_000) * limits.resetsPerSecond;
    record.resetTokens = Math.min(limits.resetsBurst, record.resetTokens + refill) - 1;
    record.tokensAtMs = nowMs;
    if (record.resetTokens >= 0 || session.destroyed) return;
    logger.warn({ peer: record.socket.remoteAddress }, 'connection closed: too many streams were reset');
    session.goaway(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
    session.destroy();
  }

  function serveNode(stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders, rawHeaders: string[]): void {
    if (!options.isRequestStream(headers[':path'] ?? '')) {
      const timer = setTimeout(() => {
        if (!stream.readableEnded) stream.close(http2.constants.NGHTTP2_CANCEL);
      }, limits.requestTimeoutMs);
      stream.once('close', () => clearTimeout(timer));
    }
    const request = new http2.Http2ServerRequest(stream, headers, {}, rawHeaders);
    options.handler(request, new http2.Http2ServerResponse(stream));
  }

  const watch = setInterval(() => {
    const nowMs = performance.now();
    for (const [session, record] of records) watchSession(session, record, nowMs);
  }, limits.checkMs);
  watch.unref();

  function watchSession(session: http2.ServerHttp2Session, record: SessionRecord, nowMs: number): void {
    const { bytesRead } = record.socket;
    if (bytesRead !== record.bytesSeen) {
      record.bytesSeen = bytesRead;
      record.seenAtMs = nowMs;
      record.pingedAtMs = undefined;
      return;
    }
    const silentMs = nowMs - record.seenAtMs;
    if (record.openStreams === 0) {
      if (silentMs >= limits.idleMs) session.close();
    } else if (record.pingedAtMs !== undefined) {
      if (nowMs - record.pingedAtMs >= limits.pingTimeoutMs) session.destroy();
    } else if (silentMs >= limits.pingMs && !session.destroyed) {
      record.pingedAtMs = nowMs;
      // The answer shows as bytes that were read; after GOAWAY none is sent, and only the deadline counts.
      session.ping(() => undefined);
    }
  }

  return {
    accept(socket) {
      accepting = socket;
      server.emit('connection', socket);
      accepting = undefined;
    },
    goAway() {
      for (const session of records.keys()) session.close();
    },
    close() {
      clearInterval(watch);
    },
  };
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
