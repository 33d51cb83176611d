/**
 * The client for browsers (it runs wherever there is fetch): through a gateway, by Connect or gRPC-Web. All its calls are
 * unary or server streams, as pages can make them, in binary. Codecs and checksum are pure JavaScript.
 */
import { createConnectTransport, createGrpcWebTransport } from '@connectrpc/connect-web';
import { webCodecs } from '@fleetmq/record/codecs/web';
import { tableChecksum } from '@fleetmq/shared';
import { Client, type ClientOptions, whenReached } from './client.ts';
import { createChannelPool } from './rpc/channel.ts';
import { createConnectChannel } from './rpc/connect-channel.ts';

export interface WebConnectOptions extends ClientOptions {
  /** Of the gateway, such as `https://mq.example.com`. A page that the gateway serves gives `location.origin`. */
  readonly url: string;
  /** Default `connect`. */
  readonly protocol?: 'connect' | 'grpc-web' | undefined;
  /** Default: the global one. */
  readonly fetch?: typeof globalThis.fetch | undefined;
  /** Default true: sees that the cluster is there before it resolves. */
  readonly ping?: boolean | undefined;
}

export async function connect(options: WebConnectOptions): Promise<Client> {
  const { protocol = 'connect', fetch, ping = true, timeoutMs, signal } = options;
  const url = options.url.replace(/\/+$/, '');
  const pool = createChannelPool((baseUrl) => {
    const transportOptions = { baseUrl, useBinaryFormat: true, ...(fetch === undefined ? {} : { fetch }) };
    const open = protocol === 'connect' ? createConnectTransport : createGrpcWebTransport;
    return createConnectChannel(baseUrl, open(transportOptions));
  });
  const client = new Client(options, {
    entrance: { kind: 'gateway', url },
    pool,
    codecs: webCodecs,
    checksum: tableChecksum,
    // A browser sends beside the page's thread.
    later: (run) => queueMicrotask(run),
  });
  return ping ? await whenReached(client, { timeoutMs, signal }) : client;
}

export * from './index.ts';
