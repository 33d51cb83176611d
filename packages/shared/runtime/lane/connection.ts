/**
 * Who is at the other end of a connection. One object per connection, made when it is accepted, so that an address is
 * formatted and a certificate parsed once and not per call. Handlers of both lanes see it: the raw lane on its context, the
 * typed handlers by `context.values.get(connectionKey)`.
 *
 * `certificate` is only ever a certificate that the TLS layer has verified against the listener's CA.
 */
import type { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Http2ServerRequest, Http2Session } from 'node:http2';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { type ContextKey, createContextKey } from '@connectrpc/connect';

export interface PeerConnection {
  /** `address:port` of the peer, IPv6 in brackets. */
  readonly address: string;
  readonly encrypted: boolean;
  /** The verified client certificate; undefined without TLS, or when the listener did not ask for one. */
  readonly certificate: X509Certificate | undefined;
}

const unknownConnection: PeerConnection = { address: 'unknown', encrypted: false, certificate: undefined };

/** Key of the connection in Connect's context values. */
export const connectionKey: ContextKey<PeerConnection> = createContextKey(unknownConnection, {
  description: 'connection of the caller',
});

const connections = new WeakMap<object, PeerConnection>();

/** Describes an accepted socket; for TLS after its handshake. */
export function describeConnection(socket: Socket): PeerConnection {
  const { remoteAddress = 'unknown', remotePort = 0, remoteFamily } = socket;
  const host = remoteFamily === 'IPv6' ? `[${remoteAddress}]` : remoteAddress;
  const isTls = socket instanceof TLSSocket;
  const connection: PeerConnection = {
    address: `${host}:${remotePort}`,
    encrypted: isTls,
    certificate: isTls && socket.authorized ? socket.getPeerX509Certificate() : undefined,
  };
  connections.set(socket, connection);
  return connection;
}

/** Remembers the connection of an HTTP/2 session, whose socket is hidden behind a proxy. */
export function rememberSession(session: Http2Session, connection: PeerConnection): void {
  connections.set(session, connection);
}

/** The connection of a request that a server of ours has accepted. */
export function connectionOf(request: IncomingMessage | Http2ServerRequest): PeerConnection {
  const key = 'stream' in request ? request.stream.session : request.socket;
  return (key === undefined ? undefined : connections.get(key)) ?? unknownConnection;
}

/** The connection of a session that a server of ours has accepted. */
export function connectionOfSession(session: Http2Session | undefined): PeerConnection {
  return (session === undefined ? undefined : connections.get(session)) ?? unknownConnection;
}
