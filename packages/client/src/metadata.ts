/**
 * What the client knows of topics, leaders and brokers, and where a call for a partition goes: to the gateway, or straight to
 * the partition's leader. Both routes are one type, so producer and consumer do not know which of them they use.
 *
 * Invariants: versions never go back (an older answer is dropped, and every request names the version that was seen);
 * per topic one refresh runs at a time and no more than one starts per `refreshPauseMs`; the table has at most
 * `topicsMax` topics, the oldest leaves first.
 */

import type { MessageShape } from '@bufbuild/protobuf';
import { type GetBrokerListResponseSchema, MetadataService } from '@fleetmq/gen/client/metadata';
import type { BrokerMetadata } from '@fleetmq/gen/common/metadata';
import { DomainError } from '@fleetmq/shared';
import type { ClientPorts } from './ports.ts';
import type { Channel, ChannelPool } from './rpc/channel.ts';
import { checkBody, errorOfResult } from './rpc/errors.ts';
import { sleep, withDeadline, withRetries } from './rpc/retry.ts';

/** How the cluster is reached. */
export type Entrance =
  | { readonly kind: 'gateway'; readonly url: string }
  /** Client listeners of some brokers; the others are learnt from them. */
  | { readonly kind: 'brokers'; readonly urls: readonly string[] };

export interface MetadataOptions {
  readonly entrance: Entrance;
  readonly pool: ChannelPool;
  readonly ports: ClientPorts;
  readonly clientId: string;
  /** Bound of one refresh with all its attempts. */
  readonly timeoutMs: number;
  /** Between two refreshes of one topic. Default 100 ms. */
  readonly refreshPauseMs?: number;
  /** Default 10,000. */
  readonly topicsMax?: number;
}

export interface PartitionView {
  readonly partition: number;
  /** 0: nobody leads it at the moment. */
  leaderId: number;
  readonly leaderEpoch: number;
}

export interface TopicView {
  readonly name: string;
  readonly topicId: string;
  /** By number. */
  readonly partitions: readonly PartitionView[];
  /** Settings that differ from the cluster's defaults. */
  readonly config: Readonly<Record<string, string>>;
}

export interface CallBounds {
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const topicsMaxDefault = 10_000;

export class Metadata {
  readonly #options: MetadataOptions;
  readonly #topics = new Map<string, TopicView>();
  readonly #brokers = new Map<number, string>();
  readonly #refreshes = new Map<string, Promise<TopicView>>();
  readonly #refreshedAt = new Map<string, number>();
  #version = 0n;
  #turn = 0;

  constructor(options: MetadataOptions) {
    this.#options = options;
  }

  get ports(): ClientPorts {
    return this.#options.ports;
  }

  get viaGateway(): boolean {
    return this.#options.entrance.kind === 'gateway';
  }

  /** Any server that answers metadata calls; another one after each `rotate`. */
  anyChannel(): Channel {
    const { entrance, pool } = this.#options;
    if (entrance.kind === 'gateway') return pool.channel(entrance.url);
    const urls = [...new Set([...entrance.urls, ...this.#brokers.values()])];
    return pool.channel(urls[this.#turn % urls.length] as string);
  }

  rotate(): void {
    this.#turn++;
  }

  /** Versions that the client has seen elsewhere: what follows must not be older. */
  noteVersion(version: bigint): void {
    if (version > this.#version) this.#version = version;
  }

  cachedTopic(name: string): TopicView | undefined {
    return this.#topics.get(name);
  }

  /** The topic, from the table or from the cluster. TOPIC_NOT_FOUND if there is none. */
  async topic(name: string, bounds: CallBounds = {}): Promise<TopicView> {
    return this.#topics.get(name) ?? (await this.refresh(name, bounds));
  }

  /** Asks the cluster anew; callers that come while it runs share the answer. */
  refresh(name: string, bounds: CallBounds = {}): Promise<TopicView> {
    let running = this.#refreshes.get(name);
    if (running === undefined) {
      running = this.#fetchTopic(name).finally(() => this.#refreshes.delete(name));
      this.#refreshes.set(name, running);
      running.catch(() => undefined); // Whoever waits gets it; a refresh in the background may have nobody.
    }
    return withDeadline(running, `metadata of topic ${name}`, this.ports.timers, bounds);
  }

  /** Asks in the background, if what is known is older than that. */
  refreshIfOlder(name: string, ageMs: number): void {
    const refreshedAtMs = this.#refreshedAt.get(name);
    if (refreshedAtMs !== undefined && this.ports.clock.monotonicMs() - refreshedAtMs < ageMs) return;
    this.refresh(name).catch(() => undefined); // What is known stays in use.
  }

  /** Where calls for the partition go; undefined while it has no leader that could be reached. */
  route(topic: string, partition: number): Channel | undefined {
    const { entrance, pool } = this.#options;
    if (entrance.kind === 'gateway') return pool.channel(entrance.url);
    const leaderId = this.#topics.get(topic)?.partitions[partition]?.leaderId ?? 0;
    const url = this.#brokers.get(leaderId);
    return url === undefined ? undefined : pool.channel(url);
  }

  /** Takes over a leader hint (`id@host:port`). False when it is none, or of no use here: then refresh. */
  applyHint(topic: string, partition: number, hint: string | undefined): boolean {
    const match = hint === undefined ? null : /^(\d+)@(.+:\d+)$/.exec(hint);
    const view = this.#topics.get(topic)?.partitions[partition];
    if (match === null || view === undefined || this.viaGateway) return false;
    const leaderId = Number(match[1]);
    if (leaderId === view.leaderId) return false;
    this.#brokers.set(leaderId, this.#urlOf(match[2] as string));
    view.leaderId = leaderId;
    return true;
  }

  /** Every registered broker, fresh. */
  async brokers(bounds: CallBounds = {}): Promise<readonly BrokerMetadata[]> {
    const response = await this.call(
      bounds,
      async (channel, call): Promise<MessageShape<typeof GetBrokerListResponseSchema>> =>
        checkBody(
          await channel.unary(MetadataService.method.getBrokerList, { clientId: this.#options.clientId }, call),
          'broker list',
        ),
    );
    this.noteVersion(response.metadataVersion);
    this.#learnBrokers(response.brokers);
    return response.brokers;
  }

  /** A call without side effects to any server: retried, each time on the next one. */
  call<Result>(
    bounds: CallBounds,
    run: (
      channel: Channel,
      call: { readonly timeoutMs: number; readonly signal: AbortSignal | undefined },
    ) => Promise<Result>,
  ): Promise<Result> {
    const timeoutMs = bounds.timeoutMs ?? this.#options.timeoutMs;
    const options = {
      timeoutMs,
      attemptTimeoutMs: Math.max(2000, timeoutMs / 3),
      signal: bounds.signal,
      onRetry: () => this.rotate(),
    };
    return withRetries((left) => run(this.anyChannel(), left), options, this.ports);
  }

  async #fetchTopic(name: string): Promise<TopicView> {
    const { refreshPauseMs = 100, clientId, ports } = this.#options;
    const sinceMs = ports.clock.monotonicMs() - (this.#refreshedAt.get(name) ?? -refreshPauseMs);
    if (sinceMs < refreshPauseMs) await sleep(refreshPauseMs - sinceMs, ports.timers);
    try {
      return await this.call({}, async (channel, call) => {
        const minMetadataVersion = this.#version;
        const response = await channel.unary(
          MetadataService.method.getTopicMetadata,
          { clientId, topics: [name], minMetadataVersion },
          call,
        );
        checkBody(response, `metadata of topic ${name}`);
        if (response.metadataVersion < minMetadataVersion) {
          throw new DomainError('NOT_AVAILABLE', `${channel.address} has not caught up with the metadata`);
        }
        return this.#learn(name, response);
      });
    } finally {
      this.#noteRefresh(name);
    }
  }

  /** Also for names that do not exist; the oldest is forgotten. */
  #noteRefresh(name: string): void {
    const { topicsMax = topicsMaxDefault } = this.#options;
    this.#refreshedAt.delete(name);
    this.#refreshedAt.set(name, this.ports.clock.monotonicMs());
    if (this.#refreshedAt.size > topicsMax) this.#refreshedAt.delete(this.#refreshedAt.keys().next().value as string);
  }

  #learn(name: string, response: MessageShape<typeof MetadataService.method.getTopicMetadata.output>): TopicView {
    this.noteVersion(response.metadataVersion);
    this.#learnBrokers(response.brokers);
    const result = response.topics.find((topic) => topic.name === name);
    const error = result === undefined ? undefined : errorOfResult(result, `topic ${name}`);
    if (result?.topic === undefined || error !== undefined) {
      this.#topics.delete(name);
      throw error ?? new DomainError('TOPIC_NOT_FOUND', `there is no topic ${name}`);
    }
    const view: TopicView = {
      name,
      topicId: result.topic.topicId,
      partitions: result.topic.partitions
        .toSorted((a, b) => a.partition - b.partition)
        .map(({ partition, leaderId, leaderEpoch }) => ({ partition, leaderId, leaderEpoch })),
      config: result.topic.config,
    };
    this.#remember(view);
    return view;
  }

  #remember(view: TopicView): void {
    const { topicsMax = topicsMaxDefault } = this.#options;
    this.#topics.delete(view.name);
    this.#topics.set(view.name, view);
    if (this.#topics.size <= topicsMax) return;
    this.#topics.delete(this.#topics.keys().next().value as string);
  }

  #learnBrokers(brokers: readonly BrokerMetadata[]): void {
    for (const { broker, endpoints } of brokers) {
      const endpoint = endpoints.find(({ listener }) => listener === 'client') ?? endpoints[0];
      if (broker === undefined || endpoint === undefined) continue;
      const scheme = endpoint.tls ? 'https' : 'http';
      this.#brokers.set(Number(broker.id), `${scheme}://${hostOfUrl(endpoint.host)}:${endpoint.port}`);
    }
  }

  #urlOf(hostAndPort: string): string {
    const { entrance } = this.#options;
    const secured = entrance.kind === 'brokers' && entrance.urls[0]?.startsWith('https:') === true;
    return `${secured ? 'https' : 'http'}://${hostAndPort}`;
  }
}

/** IPv6 addresses stand in brackets in a URL. */
function hostOfUrl(host: string): string {
  return host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
}
