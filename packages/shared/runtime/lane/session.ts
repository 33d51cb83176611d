/**
 * The HTTP/2 connection of a client transport: one at a time, opened when a call needs it, replaced when it is lost or when
 * the peer says GOAWAY. Calls that run on a retired session go on there until they end.
 *
 * Never lets a peer end the process: every socket and session has an error listener for life, so a peer that answers HTTP/1,
 * garbage or nothing costs its calls NOT_AVAILABLE and no more. Opening is bounded by `connectTimeoutMs`, which includes
 * the TLS handshake and the peer's first SETTINGS frame; a silent peer under open calls is found by PING within
 * `keepaliveMs + keepaliveTimeoutMs`.
 * Invariant: at most one session is being opened or current; all callers that wait share that one attempt.
 */
import * as http2 from 'node:http2';
import * as net from 'node:net';
import * as tls from 'node:tls';
import { DomainError } from '@fleetmq/shared';

/** What a client needs for TLS: PEM texts, in the form of Node's own options. */
export type ClientTls = Pick<tls.ConnectionOptions, 'ca' | 'cert' | 'key' | 'servername' | 'checkServerIdentity'>;

export interface SessionOptions {
  readonly baseUrl: string;
  readonly tls: ClientTls | undefined;
  /** Default 5 s. */
  readonly connectTimeoutMs: number;
  /** While calls are open and the peer is silent, a PING is sent so often. Default 30 s. */
  readonly keepaliveMs: number;
  /** The PING must be answered by then. Default 10 s. */
  readonly keepaliveTimeoutMs: number;
  /** Flow control window of each stream. Default 1 MiB. */
  readonly streamWindowBytes: number;
  /** Flow control window of the connection. Default 16 MiB. */
  readonly connectionWindowBytes: number;
  /** Memory that Node lets one session use, in MiB. Default 64. */
  readonly sessionMemoryMiB: number;
}

/** Node numbers streams up to 2^31 by two; a session retires long before it runs out. */
const requestsPerSessionMax = 2 ** 29;

/** After a close, the last frames have this long to leave. */
const closeMs = 250;

interface Connection {
  readonly session: http2.ClientHttp2Session;
  readonly socket: net.Socket;
  readonly opened: Promise<void>;
  isOpen: boolean;
  failure: Error | undefined;
  requests: number;
  openCalls: number;
}

export class LaneSession {
  readonly #options: SessionOptions;
  readonly #url: URL;
  readonly #connections = new Set<Connection>();
  readonly #owners = new WeakMap<http2.ClientHttp2Stream, Connection>();
  #current: Connection | undefined;
  #closed = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#url = new URL(options.baseUrl);
  }

  /** Opens a stream at once if there is a usable session, else undefined: then `ready` comes first. */
  request(headers: readonly string[]): http2.ClientHttp2Stream | undefined {
    const connection = this.#current;
    if (connection === undefined || !connection.isOpen || !isUsable(connection)) return undefined;
    connection.requests++;
    connection.openCalls++;
    const stream = connection.session.request(headers, { endStream: false });
    this.#owners.set(stream, connection);
    stream.once('close', () => {
      connection.openCalls--;
    });
    if (connection.requests >= requestsPerSessionMax) this.#retire(connection);
    return stream;
  }

  /** Resolves when a session is open. Rejects with NOT_AVAILABLE when that fails or takes too long. */
  async ready(): Promise<void> {
    if (this.#closed) throw new DomainError('CANCELLED', `the transport to ${this.#url.host} is closed`);
    let connection = this.#current;
    if (connection === undefined || !isUsable(connection)) {
      connection = this.#connect();
      this.#current = connection;
    }
    await connection.opened;
  }

  /** Why the connection under this stream was lost, for error texts. */
  failureText(stream: http2.ClientHttp2Stream): string {
    const failure = this.#owners.get(stream)?.failure;
    return failure === undefined ? 'the connection is lost' : textOf(failure);
  }

  /** Ends all sessions and with them their calls. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#current = undefined;
    const closing = [...this.#connections].map(
      (connection) =>
        new Promise<void>((resolve) => {
          connection.session.once('close', () => resolve());
          connection.session.destroy();
          setTimeout(() => connection.socket.destroy(), closeMs).unref();
        }),
    );
    await Promise.all(closing);
  }

  #retire(connection: Connection): void {
    if (this.#current === connection) this.#current = undefined;
    connection.session.close();
  }

  #connect(): Connection {
    const socket = openSocket(this.#url, this.#options.tls);
    const session = http2.connect(this.#url, {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: this.#options.streamWindowBytes, maxHeaderListSize: 16_384 },
      maxSessionMemory: this.#options.sessionMemoryMiB,
      maxOutstandingPings: 10,
    });
    const opened = Promise.withResolvers<void>();
    opened.promise.catch(() => undefined); // Whoever waits gets it; when nobody does any more, it is not an error.
    const connection: Connection = {
      session,
      socket,
      opened: opened.promise,
      isOpen: false,
      failure: undefined,
      requests: 0,
      openCalls: 0,
    };
    this.#connections.add(connection);
    const noteFailure = (error: Error): void => {
      connection.failure ??= error;
    };
    socket.on('error', (error) => {
      noteFailure(error);
      // A TLS alert after the handshake leaves the socket open, and the session without its close event.
      socket.destroy();
    });
    session.on('error', noteFailure);
    const timer = setTimeout(() => {
      cut(connection, new Error(`no HTTP/2 answer within ${this.#options.connectTimeoutMs} ms`));
    }, this.#options.connectTimeoutMs);
    session.once('connect', () => {
      if (session.destroyed) return;
      if (socket instanceof tls.TLSSocket && socket.alpnProtocol !== 'h2') {
        cut(connection, new Error('the peer does not speak HTTP/2'));
        return;
      }
      session.setLocalWindowSize(this.#options.connectionWindowBytes);
    });
    session.once('remoteSettings', () => {
      clearTimeout(timer);
      connection.isOpen = true;
      opened.resolve();
    });
    session.once('goaway', () => {
      if (this.#current === connection) this.#current = undefined;
    });
    const stopKeepalive = this.#keepAlive(connection);
    session.once('close', () => {
      clearTimeout(timer);
      stopKeepalive();
      this.#connections.delete(connection);
      if (this.#current === connection) this.#current = undefined;
      const text = connection.failure === undefined ? 'the connection was closed' : textOf(connection.failure);
      opened.reject(
        new DomainError('NOT_AVAILABLE', `cannot reach ${this.#url.host}: ${text}`, { cause: connection.failure }),
      );
    });
    return connection;
  }

  /** Finds a peer that is gone without a word. Looks only while calls are open, and asks only when nothing came in between. */
  #keepAlive(connection: Connection): () => void {
    const { session, socket } = connection;
    const { keepaliveMs, keepaliveTimeoutMs } = this.#options;
    let bytesSeen = 0;
    let answerBy: NodeJS.Timeout | undefined;
    const lose = (): void => {
      answerBy = undefined;
      // After GOAWAY no PING goes out; then any byte that came in the meantime is the sign of life.
      if (session.closed && socket.bytesRead !== bytesSeen) return;
      cut(connection, new Error(`no sign of life within ${keepaliveTimeoutMs} ms`));
    };
    const look = (): void => {
      const isSilent = socket.bytesRead === bytesSeen;
      bytesSeen = socket.bytesRead;
      if (connection.openCalls === 0 && session.closed && isSilent) socket.destroy();
      if (connection.openCalls === 0 || !isSilent || answerBy !== undefined || session.destroyed) return;
      answerBy = setTimeout(lose, keepaliveTimeoutMs);
      if (session.closed) return;
      session.ping(() => {
        clearTimeout(answerBy);
        answerBy = undefined;
      });
    };
    const timer = setInterval(look, keepaliveMs).unref();
    return () => {
      clearInterval(timer);
      clearTimeout(answerBy);
    };
  }
}

/** Ends a connection without waiting for a peer that may be gone: Node alone would wait until its buffers are empty. */
function cut(connection: Connection, reason: Error): void {
  connection.failure ??= reason;
  connection.session.destroy(reason);
  connection.socket.destroy();
}

/** OpenSSL puts its whole error queue into the message, and the part for people into `reason`. */
function textOf(failure: Error & { readonly reason?: unknown }): string {
  return typeof failure.reason === 'string' ? failure.reason : failure.message;
}

function isUsable({ session }: Connection): boolean {
  return !session.closed && !session.destroyed;
}

function openSocket(url: URL, options: ClientTls | undefined): net.Socket {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (url.protocol === 'http:') return net.connect({ host, port: Number(url.port || 80) });
  if (url.protocol !== 'https:') throw new DomainError('INVALID_CONFIG', `${url.href} is neither http:// nor https://`);
  return tls.connect({
    host,
    port: Number(url.port || 443),
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['h2'],
    ...(net.isIP(host) === 0 ? { servername: host } : {}),
    ...options,
  });
}
