/**
 * The client: one set of connections, one table of metadata, and on them any number of producers and consumers. `connect` of
 * `node.ts` and `web.ts` makes it; there is no second step. Closing it closes what was made with it.
 */
import type { Codecs } from '@fleetmq/record';
import { type Checksum, DomainError } from '@fleetmq/shared';
import { Admin } from './admin.ts';
import { Consumer } from './consumer/consumer.ts';
import type { ConsumerOptions } from './consumer/options.ts';
import { type CallBounds, type Entrance, Metadata } from './metadata.ts';
import { ambientPorts, type ClientPorts } from './ports.ts';
import type { Later } from './producer/budget.ts';
import type { ProducerOptions } from './producer/options.ts';
import { Producer, type ProducerDeps } from './producer/producer.ts';
import type { ChannelPool } from './rpc/channel.ts';
import type { Plain } from './serde.ts';

/** What every way of connecting takes. */
export interface ClientOptions {
  /** Names the caller in logs, metrics and quotas. Default `fleetmq`; at most 249 bytes. */
  readonly clientId?: string | undefined;
  /** Bound of a call with all its attempts, where the call names none. Default 30,000 ms. */
  readonly timeoutMs?: number | undefined;
  /** Bounds `connect` itself. */
  readonly signal?: AbortSignal | undefined;
}

export interface ClientDeps {
  readonly entrance: Entrance;
  readonly pool: ChannelPool;
  readonly codecs: Codecs;
  readonly checksum: Checksum;
  /** Where sending is done by the caller's own thread: after the present turn of its event loop. */
  readonly later: Later;
  /** Default: the platform's. */
  readonly ports?: ClientPorts | undefined;
}

export class Client implements AsyncDisposable {
  readonly admin: Admin;
  readonly #clientId: string;
  readonly #deps: ClientDeps;
  readonly #metadata: Metadata;
  readonly #ports: ClientPorts;
  readonly #timeoutMs: number;
  readonly #children = new Set<{ close(): Promise<void> }>();
  #closed: Promise<void> | undefined;

  constructor(options: ClientOptions, deps: ClientDeps) {
    const { clientId = 'fleetmq', timeoutMs = 30_000 } = options;
    if (new TextEncoder().encode(clientId).length > 249) {
      throw new DomainError(
        'INVALID_CONFIG',
        `clientId has ${clientId.length} characters, at most 249 bytes are taken`,
      );
    }
    this.#clientId = clientId;
    this.#timeoutMs = timeoutMs;
    this.#deps = deps;
    this.#ports = deps.ports ?? ambientPorts;
    this.#metadata = new Metadata({
      ...{ entrance: deps.entrance, pool: deps.pool },
      ...{ ports: this.#ports, clientId, timeoutMs },
    });
    this.admin = new Admin({ metadata: this.#metadata, clientId, timeoutMs });
  }

  /** Asks the cluster for its id, to see that it is there. NOT_AVAILABLE or TIMEOUT when it is not. */
  async ping(bounds: CallBounds = {}): Promise<{ readonly clusterId: string; readonly serverVersion: string }> {
    const { clusterId, serverVersion } = await this.admin.clusterMetadata(bounds);
    return { clusterId, serverVersion };
  }

  producer<Key = Plain, Value = Plain>(options: ProducerOptions<Key, Value> = {}): Producer<Key, Value> {
    return this.#own((deps) => new Producer<Key, Value>(options, deps));
  }

  consumer<Key = Uint8Array, Value = Uint8Array>(options: ConsumerOptions<Key, Value>): Consumer<Key, Value> {
    const requestTimeoutMs = options.requestTimeoutMs ?? this.#timeoutMs;
    return this.#own((deps) => new Consumer<Key, Value>({ ...options, requestTimeoutMs }, deps));
  }

  /** Closes all consumers, flushes and closes all producers, then the connections. Throws the first failure of a flush. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Makes something that is closed with the client, unless it is closed before. */
  #own<Child extends { close(): Promise<void> }>(make: (deps: ProducerDeps) => Child): Child {
    if (this.#closed !== undefined) throw new DomainError('CANCELLED', 'the client is closed');
    const { codecs, checksum, later } = this.#deps;
    const child = make({
      metadata: this.#metadata,
      clientId: this.#clientId,
      codecs,
      checksum,
      later,
      ports: this.#ports,
      onClosed: () => this.#children.delete(child),
    });
    this.#children.add(child);
    return child;
  }

  async #close(): Promise<void> {
    try {
      const results = await Promise.allSettled([...this.#children].map((child) => child.close()));
      const failed = results.find((result) => result.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
    } finally {
      this.#children.clear();
      await this.#deps.pool.close();
    }
  }
}

/** The client, once the cluster has answered; when it has not, the client is closed and the error thrown. */
export async function whenReached(client: Client, bounds: CallBounds): Promise<Client> {
  try {
    await client.ping(bounds);
    return client;
  } catch (error) {
    await client.close();
    throw error;
  }
}
