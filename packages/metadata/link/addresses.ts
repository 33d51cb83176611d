/** Where controllers are: `id@host:port` or `host:port`, in configuration and in leader hints. */
import { DomainError } from '@fleetmq/shared';

export interface ControllerAddress {
  /** Undefined while it is not known. */
  readonly controllerId: number | undefined;
  readonly host: string;
  readonly port: number;
}

const addressGrammar = /^(?:([1-9]\d{0,9})@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/;

/** Undefined for what is no address. */
export function parseAddress(text: string): ControllerAddress | undefined {
  const match = addressGrammar.exec(text.trim());
  if (match === null) return undefined;
  const port = Number(match[3]);
  const host = (match[2] as string).replace(/^\[|\]$/g, '');
  if (port < 1 || port > 65_535) return undefined;
  return { controllerId: match[1] === undefined ? undefined : Number(match[1]), host, port };
}

/** A list with commas in between; INVALID_CONFIG if it is empty, has a double, or something is no address. */
export function parseControllers(text: string): readonly ControllerAddress[] {
  const addresses = text.split(',').map((item) => {
    const address = parseAddress(item);
    if (address === undefined) {
      throw new DomainError('INVALID_CONFIG', `"${item.trim()}" is not host:port or id@host:port of a controller`);
    }
    return address;
  });
  const distinct = new Set(addresses.map(authorityOf));
  if (distinct.size < addresses.length) throw new DomainError('INVALID_CONFIG', `"${text}" names a controller twice`);
  return addresses;
}

/** `host:port`, IPv6 in brackets: what stands in a URL. */
export function authorityOf(address: { readonly host: string; readonly port: number }): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** `first`, then those of `second` that are reached elsewhere. */
export function joinAddresses(
  first: readonly ControllerAddress[],
  second: readonly ControllerAddress[],
): readonly ControllerAddress[] {
  const known = new Set(first.map(authorityOf));
  return [...first, ...second.filter((each) => !known.has(authorityOf(each)))];
}
