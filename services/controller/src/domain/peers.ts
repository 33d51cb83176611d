/** `quorum.peers`: who the first voters are and where they are reached, as "id@host:port" with commas in between. */
import { DomainError } from '@fleetmq/shared';

export interface PeerAddress {
  readonly controllerId: number;
  readonly host: string;
  readonly port: number;
}

const grammar = /^([1-9]\d{0,9})@(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/;

/**
 * By id. INVALID_CONFIG when an entry is no address, an id comes twice, or `ownId` is missing from those that begin a quorum
 * (`join` false). Port 0, "whatever the listener
 * gets", is for a node's own entry alone.
 */
export function parsePeers(text: string, ownId: number, join: boolean): ReadonlyMap<number, PeerAddress> {
  const peers = new Map<number, PeerAddress>();
  for (const item of text.split(',')) {
    const match = grammar.exec(item.trim());
    const controllerId = Number(match?.[1]);
    const port = Number(match?.[3]);
    const lowest = controllerId === ownId ? 0 : 1;
    if (match === null || controllerId > 2 ** 31 - 1 || port < lowest || port > 65_535) {
      throw new DomainError('INVALID_CONFIG', `quorum.peers: "${item.trim()}" is not id@host:port of a controller`);
    }
    if (peers.has(controllerId))
      throw new DomainError('INVALID_CONFIG', `quorum.peers names controller ${controllerId} twice`);
    peers.set(controllerId, { controllerId, host: (match[2] as string).replace(/^\[|\]$/g, ''), port });
  }
  if (!peers.has(ownId) && !join)
    throw new DomainError('INVALID_CONFIG', `quorum.peers "${text}" lacks this controller, ${ownId}`);
  return new Map([...peers].sort(([left], [right]) => left - right));
}
