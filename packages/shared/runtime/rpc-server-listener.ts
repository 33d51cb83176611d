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
import { setTimeout as sleep } from 'node:timers/promises';
import * as tls from 'node:tls';
import { type Logger, silentLogger } from '@fleetmq/shared';
import { describeConnection } from './lane/connection.ts';
import type { Lane } from './lane/server.ts';
import { Http2Half } from './rpc-server-http2.ts';
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

/** A peer that is gone is no news. A TLS socket must be destroyed by hand when an alert comes after its handshake. */
function dropOnError(socket: net.Socket): void {
  socket.on('error', () => socket.destroy());
}

export function createSniffingServer(handler: NodeHandler, options: SniffingServerOptions = {}): SniffingServer {
  const limits = { ...defaultListenerLimits, ...options.limits };
  const listener = new Listener(handler, options, limits);
  const { tls: material } = options;
  const tlsServer = material && tls.createServer({ ...tlsServerOptions(material, limits.firstBytesMs), noDelay: true });
  const server = tlsServer ?? net.createServer({ noDelay: true }, (socket) => listener.acceptPlain(socket));
  tlsServer?.on('secureConnection', (socket) => listener.acceptTls(socket));
  tlsServer?.on('tlsClientError', (error, socket) => {
    options.logger?.debug({ err: error }, 'TLS handshake failed');
    socket.destroy(); // Node leaves that to the listener, also when the handshake's time is over.
  });
  server.maxConnections = limits.connectionsMax;
  server.prependListener('connection', (socket: net.Socket) => listener.track(socket));

  const stopAccepting = server.close.bind(server);
  let draining: Promise<void> | undefined;
  const drain = (drainMs: number = limits.drainMs): Promise<void> => {
    if (draining === undefined) {
      stopAccepting();
      draining = listener.drain(drainMs);
    }
    return draining;
  };
  return Object.defineProperties(server, {
    drain: { value: drain },
    activeCalls: { get: () => listener.activeCalls },
    reloadTls: { value: (next: ServerTls) => tlsServer?.setSecureContext(tlsServerOptions(next, limits.firstBytesMs)) },
    close: {
      value: (callback?: () => void) => {
        if (callback !== undefined) server.once('close', () => callback());
        void drain();
        return server;
      },
    },
    closeIdleConnections: { value: () => listener.closeIdle() },
  }) as SniffingServer;
}

/** Everything behind the accepting socket. */
class Listener {
  readonly #handler: NodeHandler;
  readonly #options: SniffingServerOptions;
  readonly #limits: ListenerLimits;
  readonly #logger: Logger;
  readonly #http1: http.Server;
  readonly #http2: Http2Half;
  readonly #sockets = new Set<net.Socket>();
  readonly #sniffing = new Set<net.Socket>();
  readonly #perAddress = new Map<string, number>();
  #active = 0;
  #onQuiet: (() => void) | undefined;
  #isDraining = false;

  constructor(handler: NodeHandler, options: SniffingServerOptions, limits: ListenerLimits) {
    this.#handler = handler;
    this.#options = options;
    this.#limits = limits;
    this.#logger = options.logger ?? silentLogger;
    this.#http1 = createHttp1(limits, (request, response) => this.#serveHttp1(request, response));
    this.#http2 = new Http2Half({
      limits,
      logger: this.#logger,
      lane: options.lane,
      handler: (request, response) => this.#serve(request, response),
      isRequestStream: options.isRequestStream ?? (() => false),
      onActive: (change) => this.#changeActive(change),
    });
  }

  get activeCalls(): number {
    return this.#active;
  }

  /** Counts a connection from its first moment to its last. */
  track(socket: net.Socket): void {
    dropOnError(socket);
    const address = socket.remoteAddress ?? '';
    const count = (this.#perAddress.get(address) ?? 0) + 1;
    this.#perAddress.set(address, count);
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      const left = (this.#perAddress.get(address) ?? 1) - 1;
      if (left === 0) this.#perAddress.delete(address);
      else this.#perAddress.set(address, left);
    });
    if (count > this.#limits.connectionsPerAddressMax) socket.destroy();
  }

  acceptPlain(socket: net.Socket): void {
    this.#sniffing.add(socket);
    const giveUp = sniffProtocol(socket, this.#limits.firstBytesMs, (protocol) => {
      this.#sniffing.delete(socket);
      if (protocol === 'other' || this.#isDraining) socket.destroy();
      else this.#hand(socket, protocol);
    });
    socket.once('close', () => {
      giveUp();
      this.#sniffing.delete(socket);
    });
  }

  acceptTls(socket: tls.TLSSocket): void {
    dropOnError(socket);
    if (this.#isDraining) socket.destroy();
    else this.#hand(socket, socket.alpnProtocol === 'h2' ? 'http2' : 'http1');
  }

  closeIdle(): void {
    this.#http1.closeIdleConnections();
  }

  async drain(drainMs: number): Promise<void> {
    this.#isDraining = true;
    this.#http2.goAway();
    this.#http1.closeIdleConnections();
    for (const socket of this.#sniffing) socket.destroy();
    this.#options.onDrain?.();
    if (!(await this.#quiet(drainMs))) {
      this.#options.onDrainDeadline?.();
      await this.#quiet(lingerMs);
    }
    await this.#linger();
    for (const socket of this.#sockets) socket.destroy();
    this.#http2.close();
    this.#http1.close();
  }

  #hand(socket: net.Socket, protocol: 'http1' | 'http2'): void {
    if (protocol === 'http2') {
      this.#http2.accept(socket);
      return;
    }
    describeConnection(socket);
    this.#http1.emit('connection', socket);
  }

  #serve(...[request, response]: Parameters<NodeHandler>): void {
    try {
      this.#handler(request, response);
    } catch (error) {
      this.#logger.warn({ err: error, url: request.url }, 'a request could not be handled');
      refuse(response, 400, 'the request could not be understood');
    }
  }

  #serveHttp1(request: http.IncomingMessage, response: http.ServerResponse): void {
    this.#changeActive(1);
    response.once('close', () => {
      if (this.#isDraining) request.socket.destroySoon();
      this.#changeActive(-1);
    });
    const isGrpc = isPlainGrpc(request.headers['content-type']);
    if (this.#isDraining || isGrpc) response.setHeader('connection', 'close');
    if (isGrpc) refuse(response, 505, 'gRPC needs HTTP/2: over HTTP/1.1 use Connect or gRPC-Web');
    else this.#serve(request, response);
  }

  #changeActive(change: 1 | -1): void {
    this.#active += change;
    if (this.#active === 0) this.#onQuiet?.();
  }

  /** True when no call is open any more, false when the time is over. */
  #quiet(withinMs: number): Promise<boolean> {
    if (this.#active === 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      const end = (isQuiet: boolean): void => {
        clearTimeout(timer);
        this.#onQuiet = undefined;
        resolve(isQuiet);
      };
      const timer = setTimeout(() => end(false), withinMs);
      this.#onQuiet = () => end(true);
    });
  }

  /** Gives peers a moment to close their side by themselves. */
  async #linger(): Promise<void> {
    const abort = new AbortController();
    const closed = [...this.#sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    await Promise.race([
      Promise.all(closed),
      sleep(lingerMs, undefined, { signal: abort.signal }).catch(() => undefined),
    ]);
    abort.abort();
  }
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
