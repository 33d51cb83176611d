/**
 * What a listener allows: every number has a default, and none can be switched off. The lane's own limits (message sizes,
 * deadlines, buffers) are in lane/limits.ts.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';

/** A request handler for both HTTP versions, as `connectNodeAdapter` makes it and Fastify's `serverFactory` gives it. */
export type NodeHandler = (
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
) => void;

export interface ListenerLimits {
  /** Open connections; more are dropped. Default 10,000. */
  readonly connectionsMax: number;
  /** Open connections of one address. Default 2,000. */
  readonly connectionsPerAddressMax: number;
  /** Bound on the TLS handshake, on the first bytes, on HTTP/1.1 headers and on the first HTTP/2 SETTINGS. Default 10 s. */
  readonly firstBytesMs: number;
  /** A request that is no stream itself must have been received by then. HTTP/1.1 streams too. Default 30 s. */
  readonly requestTimeoutMs: number;
  /** Connections without a call are closed after this. Default 5 min. */
  readonly idleMs: number;
  /** A silent peer under open streams is sent a PING after this ... Default 30 s. */
  readonly pingMs: number;
  /** ... and has this long to answer. Default 10 s. */
  readonly pingTimeoutMs: number;
  /** How often the connections are looked over. Default 1 s. */
  readonly checkMs: number;
  /** Streams per HTTP/2 connection. Default 128; internal listeners take more. */
  readonly streamsPerConnectionMax: number;
  /** HTTP/2 flow control window of each stream. Default 1 MiB: above, a stream over loopback gained nothing when measured. */
  readonly streamWindowBytes: number;
  /** HTTP/2 flow control window of the connection. Default 16 MiB. */
  readonly connectionWindowBytes: number;
  /** Size of all request headers. Default 16 KiB. */
  readonly headerBytesMax: number;
  /** Number of request headers. Default 128. */
  readonly headerPairsMax: number;
  /** Memory that Node lets one HTTP/2 session use, in MiB. Default 16; internal listeners take more. */
  readonly sessionMemoryMiB: number;
  /** Streams of one connection that may be reset at once, by either side. Default 1,000. */
  readonly resetsBurst: number;
  /** Resets per second of one connection beyond the burst. Default 100. */
  readonly resetsPerSecond: number;
  /** PING frames of one connection at once; a SETTINGS frame counts as 20. Default 5,000. */
  readonly pingsBurst: number;
  /** PING frames per second of one connection beyond the burst. Default 1,000. */
  readonly pingsPerSecond: number;
  /** How long `close()` waits for open calls. Default 10 s. */
  readonly drainMs: number;
}

export const defaultListenerLimits: ListenerLimits = {
  connectionsMax: 10_000,
  connectionsPerAddressMax: 2_000,
  firstBytesMs: 10_000,
  requestTimeoutMs: 30_000,
  idleMs: 300_000,
  pingMs: 30_000,
  pingTimeoutMs: 10_000,
  checkMs: 1_000,
  streamsPerConnectionMax: 128,
  streamWindowBytes: 1024 * 1024,
  connectionWindowBytes: 16 * 1024 * 1024,
  headerBytesMax: 16 * 1024,
  headerPairsMax: 128,
  sessionMemoryMiB: 16,
  resetsBurst: 1_000,
  resetsPerSecond: 100,
  pingsBurst: 5_000,
  pingsPerSecond: 1_000,
  drainMs: 10_000,
};
