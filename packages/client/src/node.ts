/**
 * The client for Node: plain gRPC over the HTTP/2 lane, straight to the partitions' leaders when brokers are given, through
 * the gateway when its URL is given. Native codecs and checksum.
 */
import { nodeCodecs } from '@fleetmq/record/codecs/node';
import { DomainError } from '@fleetmq/shared';
import { createRpcPool, nodeChecksum } from '@fleetmq/shared/runtime';
import { Client, type ClientOptions, whenReached } from './client.ts';
import type { Entrance } from './metadata.ts';
import { laneChannel } from './node/lane-channel.ts';
import { createChannelPool } from './rpc/channel.ts';

/** Exactly one of `url` and `brokers`. */
export interface NodeConnectOptions extends ClientOptions {
  /** Of a gateway, such as `http://127.0.0.1:7600`. */
  readonly url?: string | undefined;
  /** Client listeners of some brokers, as `host:port`: a list, or a text with commas. Admin calls need `url`. */
  readonly brokers?: readonly string[] | string | undefined;
  /** Default true: sees that the cluster is there before it resolves. */
  readonly ping?: boolean | undefined;
}

/** Answer bytes of a stream that the transport itself may hold, beyond what the consumer has taken. */
const receiveBufferBytes = 2 * 1024 * 1024;
/** A server that hangs, or is cut off without a word, is found within 8 s; then the calls are repeated elsewhere. */
const keepalive = { intervalMs: 3000, timeoutMs: 5000 };

export async function connect(options: NodeConnectOptions): Promise<Client> {
  const { ping = true, timeoutMs, signal } = options;
  const entrance = toEntrance(options);
  const rpc = createRpcPool({ limits: { receiveBufferBytes }, keepalive });
  const pool = createChannelPool(
    (baseUrl) => laneChannel(baseUrl, () => rpc.get(baseUrl)),
    () => rpc.close(),
  );
  const client = new Client(options, {
    entrance,
    pool,
    codecs: nodeCodecs,
    checksum: nodeChecksum,
    later: setImmediate,
  });
  return ping ? await whenReached(client, { timeoutMs, signal }) : client;
}

function toEntrance({ url, brokers }: NodeConnectOptions): Entrance {
  if ((url === undefined) === (brokers === undefined)) {
    throw new DomainError('INVALID_CONFIG', 'connect needs exactly one of url (a gateway) and brokers');
  }
  if (url !== undefined) return { kind: 'gateway', url: checkUrl(url) };
  const list = typeof brokers === 'string' ? brokers.split(',') : (brokers as readonly string[]);
  const urls = list.map((entry) => entry.trim()).filter((entry) => entry !== '');
  if (urls.length === 0) throw new DomainError('INVALID_CONFIG', 'brokers names no broker');
  return { kind: 'brokers', urls: urls.map((entry) => checkUrl(entry.includes('://') ? entry : `http://${entry}`)) };
}

function checkUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new DomainError('INVALID_CONFIG', `"${text}" is no address: expected http://host:port or host:port`);
  }
  return url.origin;
}

export * from './index.ts';
