/**
 * One port for everyone: HTTP/1.1 and HTTP/2 without TLS are told apart by their first bytes, with TLS by ALPN. The socket
 * then goes to an inner HTTP/1.1 server or to the HTTP/2 half; neither of them ever listens itself.
 *
 * Owns all sockets of the listener, so that it can bound them (in all, per address, until their first bytes), tell them to
 * go, wait for what is open and cut the rest. An inner HTTP/1.1 server enforces its header and request timeouts only after
 * its `listening` event, which is therefore emitted by hand; a test holds that in place.
 * Never throws into the event loop for anything that a peer sends: what is no HTTP loses its connection.
 */
import * as http from 'node:http';
import type { Http2ServerResponse } from 'node:http2';
import * as net from 'node:net';
import * as tls from 'node:tls';
import { type Logger, silentLogger } from '@fleetmq/shared';
import { describeConnection } from './lane/connection.ts';
import type { Lane } from './lane/server.ts';
import { createHttp2Half } from './rpc-server-http2.ts';
import { defaultListenerLimits, type ListenerLimits, type NodeHandler } from './rpc-server-limits.ts';
import { type ServerTls, tlsServerOptions } from './tls.ts';

export interface SniffingServerOptions {
  readonly tls?: ServerTls | undefined;
  /** Serves plain gRPC calls of its routes; everything else goes to the handler. */
  readonly lane?: Lane | undefined;
  readonly limits?: Partial<ListenerLimits>;
  readonly logger?: Logger;
  /** See `Http2HalfOptions`. Default: no path. */
  readonly isRequestStream?: (path: string) => boolean;
  /** Called when the drain starts, so that long streams can end by themselves. */
  readonly onDrain?: () => void;
  /** Called when the time to drain is over and calls are still open: ends them with a status before they are cut. */
  readonly onDrainDeadline?: () => void;
}

/** A `net.Server` (so it fits Fastify's `serverFactory`) whose `close` drains. */
export interface SniffingServer extends net.Server {
  /** Stops accepting, says GOAWAY, waits for open calls until `drainMs` (default: the limit), then cuts what is left. */
  drain(drainMs?: number): Promise<void>;
  /** Requests and streams that are open. */
  readonly activeCalls: number;
  /** Takes a new certificate for connections from now on. */
  reloadTls(tls: ServerTls): void;
}

/** After the last call has ended, peers get this long to close their side. */
const lingerMs = 250;

const ignoreError = (): void => undefined;

export function createSniffingServer(handler: NodeHandler, options: SniffingServerOptions = {}): SniffingServer {
  const limits = { ...defaultListenerLimits, ...options.limits };
  const logger = options.logger ?? silentLogger;
  const sockets = new Set<net.Socket>();
  const perAddress = new Map<string, number>();
  const sniffing = new Set<net.Socket>();
  let active = 0;
  let onQuiet: (() => void) | undefined;
  let draining: Promise<void> | undefined;

  const onActive = (change: 1 | -1): void => {
    active += change;
    if (active === 0) onQuiet?.();
  };
  const guarded: NodeHandler = (request, response) => {
    try {
      handler(request, response);
    } catch (error) {
      logger.warn({ err: error, url: request.url }, 'a request could not be handled');
      refuse(response, 400, 'the request could not be understood');
    }
  };
  const http2Half = createHttp2Half({
    limits,
    logger,
    lane: options.lane,
    handler: guarded,
    isRequestStream: options.isRequestStream ?? (() => false),
    onActive,
  });
  const http1 = createHttp1(limits, (request, response) => {
    onActive(1);
    response.once('close', () => {
      onActive(-1);
      if (draining !== undefined) request.socket.destroySoon();
    });
    if (draining !== undefined) response.setHeader('connection', 'close');
    if (isPlainGrpc(request.headers['content-type'])) {
      response.setHeader('connection', 'close');
      refuse(response, 505, 'gRPC needs HTTP/2: over HTTP/1.1 use Connect or gRPC-Web');
    } else {
      guarded(request, response);
    }
  });

  function acceptPlain(socket: net.Socket): void {
    sniffing.add(socket);
    const done = sniffProtocol(socket, limits.firstBytesMs, (protocol) => {
      sniffing.delete(socket);
      if (protocol === 'other' || draining !== undefined) socket.destroy();
      else hand(socket, protocol);
    });
    socket.once('close', () => {
      done();
      sniffing.delete(socket);
    });
  }

  function hand(socket: net.Socket, protocol: 'http1' | 'http2'): void {
    if (protocol === 'http2') {
      http2Half.accept(socket);
      return;
    }
    describeConnection(socket);
    http1.emit('connection', socket);
  }

  function track(socket: net.Socket): void {
    socket.on('error', ignoreError); // The close event follows; a peer that is gone is no news.
    const address = socket.remoteAddress ?? '';
    const count = (perAddress.get(address) ?? 0) + 1;
    perAddress.set(address, count);
    sockets.add(socket);
    socket.once('close', () => {
      sockets.delete(socket);
      const left = (perAddress.get(address) ?? 1) - 1;
      if (left === 0) perAddress.delete(address);
      else perAddress.set(address, left);
    });
    if (count > limits.connectionsPerAddressMax) socket.destroy();
  }

  const server = options.tls === undefined ? net.createServer({ noDelay: true }, acceptPlain) : undefined;
  const tlsServer =
    options.tls && tls.createServer({ ...tlsServerOptions(options.tls, limits.firstBytesMs), noDelay: true });
  tlsServer?.on('secureConnection', (socket) => {
    socket.on('error', ignoreError);
    if (draining !== undefined) socket.destroy();
    else hand(socket, socket.alpnProtocol === 'h2' ? 'http2' : 'http1');
  });
  tlsServer?.on('tlsClientError', (error) => logger.debug({ err: error }, 'TLS handshake failed'));
  const outer = (server ?? tlsServer) as net.Server;
  outer.maxConnections = limits.connectionsMax;
  outer.prependListener('connection', track);

  const stopAccepting = outer.close.bind(outer);

  async function runDrain(drainMs: number): Promise<void> {
    stopAccepting();
    http2Half.goAway();
    http1.closeIdleConnections();
    for (const socket of sniffing) socket.destroy();
    options.onDrain?.();
    if (!(await quiet(drainMs))) {
      options.onDrainDeadline?.();
      await quiet(lingerMs);
    }
    await Promise.race([
      Promise.all([...sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve)))),
      new Promise((resolve) => setTimeout(resolve, lingerMs).unref()),
    ]);
    for (const socket of sockets) socket.destroy();
    http2Half.close();
    http1.close();
  }

  /** True when no call is open any more, false when the time is over. */
  function quiet(withinMs: number): Promise<boolean> {
    if (active === 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      const timer = setTimeout(() => end(false), withinMs);
      const end = (result: boolean): void => {
        clearTimeout(timer);
        onQuiet = undefined;
        resolve(result);
      };
      onQuiet = () => end(true);
    });
  }

  const drain = (drainMs: number = limits.drainMs): Promise<void> => {
    draining ??= runDrain(drainMs);
    return draining;
  };
  return Object.defineProperties(outer, {
    drain: { value: drain },
    activeCalls: { get: () => active },
    reloadTls: { value: (next: ServerTls) => tlsServer?.setSecureContext(tlsServerOptions(next, limits.firstBytesMs)) },
    close: {
      value: (callback?: (error?: Error) => void) => {
        if (callback !== undefined) outer.once('close', () => callback());
        void drain();
        return outer;
      },
    },
    closeIdleConnections: { value: () => http1.closeIdleConnections() },
  }) as SniffingServer;
}

function createHttp1(limits: ListenerLimits, handler: http.RequestListener): http.Server {
  const server = http.createServer(
    {
      maxHeaderSize: limits.headerBytesMax,
      headersTimeout: limits.firstBytesMs,
      requestTimeout: Math.max(limits.requestTimeoutMs, limits.firstBytesMs),
      keepAliveTimeout: limits.idleMs,
      connectionsCheckingInterval: limits.checkMs,
      noDelay: true,
      requireHostHeader: true,
    },
    handler,
  );
  server.maxHeadersCount = limits.headerPairsMax;
  server.emit('listening');
  return server;
}

function isPlainGrpc(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(\+|;|\s|$)/i.test(contentType);
}

function refuse(response: http.ServerResponse | Http2ServerResponse, status: number, text: string): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.statusCode = status;
  response.setHeader('content-type', 'text/plain; charset=utf-8');
  response.end(`${text}\n`);
}

const preface = 'PRI';

/** Decides by the first bytes, leaves them unread, and calls back once. Returns a function that gives up. */
function sniffProtocol(
  socket: net.Socket,
  timeoutMs: number,
  onProtocol: (protocol: 'http1' | 'http2' | 'other') => void,
): () => void {
  let head: Buffer = Buffer.alloc(0);
  const timer = setTimeout(() => decide('other'), timeoutMs);
  const look = (): void => {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
    const protocol = protocolOf(head);
    if (protocol !== undefined) decide(protocol);
  };
  const stop = (): void => {
    clearTimeout(timer);
    socket.off('readable', look);
  };
  const decide = (protocol: 'http1' | 'http2' | 'other'): void => {
    stop();
    if (head.length > 0) socket.unshift(head);
    onProtocol(protocol);
  };
  socket.on('readable', look);
  return stop;
}

/** Undefined: more bytes are needed. HTTP/1.1 methods are upper-case letters; empty lines before them are legal. */
function protocolOf(head: Buffer): 'http1' | 'http2' | 'other' | undefined {
  const start = head.toString('latin1', 0, preface.length);
  if (start === preface) return 'http2';
  if (preface.startsWith(start)) return undefined;
  return /^[A-Z\r\n]/.test(start) ? 'http1' : 'other';
}
