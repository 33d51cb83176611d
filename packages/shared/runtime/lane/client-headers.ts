/**
 * Request headers of the client lane, as callers may set them, and response headers as generated clients want to see them.
 * What could break out of a header, or belongs to HTTP/2, gRPC or the transport, is refused before it reaches Node.
 */
import type { IncomingHttpHeaders } from 'node:http2';
import { DomainError } from '@fleetmq/shared';

const headerName = /^[a-z0-9_.-]+$/;
const headerValue = /^[\x20-\x7e]*$/;

/** Headers that belong to HTTP/2, to gRPC or to the transport. */
const reservedHeaders = new Set([
  ...['connection', 'host', 'http2-settings', 'keep-alive', 'proxy-connection', 'te', 'transfer-encoding', 'upgrade'],
  ...['content-length', 'content-type', 'grpc-encoding', 'grpc-timeout', 'user-agent'],
]);

/** Node writes header values as they are, and throws late for some names: what is not allowed is refused here. */
export function pushHeaders(target: string[], headers: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(headers)) {
    if (!headerName.test(name) || reservedHeaders.has(name) || !headerValue.test(value)) {
      throw new DomainError('INVALID_REQUEST', `header ${JSON.stringify(name)}, or its value, is not allowed`);
    }
    target.push(name, value);
  }
}

/** Any form of web headers as a plain object. */
export function plainHeaders(header: HeadersInit | undefined): Record<string, string> | undefined {
  return header === undefined ? undefined : Object.fromEntries(new Headers(header));
}

/** Headers without HTTP/2's pseudo headers. */
export function webHeaders(headers: IncomingHttpHeaders): Headers {
  const web = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && !name.startsWith(':')) web.set(name, Array.isArray(value) ? value.join(', ') : value);
  }
  return web;
}
