/**
 * Which pages may call the gateway: an exact list of origins, where the port alone may be left open (`http://localhost:*`).
 * Never a wildcard host, never the `null` origin of sandboxed pages and files. Credentials are not part of it: pages send
 * tokens, not cookies.
 */
import { DomainError } from '@fleetmq/shared';

/** Pages of one's own machine: the default of an open gateway. */
export const loopbackOrigins: readonly string[] = [
  'http://localhost:*',
  'http://127.0.0.1:*',
  'http://[::1]:*',
  'https://localhost:*',
  'https://127.0.0.1:*',
];

const grammar = /^https?:\/\/(\[[0-9a-f:]+\]|[a-z0-9.-]+)(:(\d{1,5}|\*))?$/;

/** A predicate for the `Origin` header. INVALID_CONFIG for an entry that is no origin. */
export function originMatcher(allowed: readonly string[]): (origin: string) => boolean {
  const exact = new Set<string>();
  const anyPort = new Set<string>();
  for (const entry of allowed) {
    if (!grammar.test(entry)) {
      throw new DomainError(
        'INVALID_CONFIG',
        `"${entry}" is no origin: write http(s)://host, with a port or :* for any`,
      );
    }
    if (entry.endsWith(':*')) anyPort.add(entry.slice(0, -2));
    else exact.add(entry);
  }
  return (origin) => exact.has(origin) || (grammar.test(origin) && anyPort.has(origin.replace(/:\d+$/, '')));
}
