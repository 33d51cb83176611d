/**
 * Follows the controllers' metadata: one WatchMetadata stream to any controller, folded into one MetadataImage. When the
 * stream ends, fails or stays silent, the next controller is asked to continue from the version that is already there.
 *
 * Invariants: the version never goes back, whoever answers; listeners see each change once and in order, and a snapshot
 * reaches them as the difference to what they have; the leader of an older term does not replace that of a newer one.
 * A message without events advances the version: a controller sends it only after everything up to that version.
 * Never gives up: a broker or gateway without controllers keeps serving what it knows, and `ageMs` says how old that is.
 */
import { createClient, type Transport } from '@connectrpc/connect';
import { ControllerBrokerService, type WatchMetadataResponse } from '@fleetmq/gen/controller/cluster';
import {
  apiVersion,
  differenceOf,
  joinSnapshotParts,
  type MetadataEvent,
  MetadataImage,
  type MetadataSnapshotImage,
  supportedFeatures,
} from '@fleetmq/metadata';
import { eventFromProto, snapshotFromProto } from '@fleetmq/metadata/wire';
import {
  assert,
  type BackoffOptions,
  backoffMs,
  type Clock,
  DomainError,
  isDomainError,
  type Logger,
  type MetadataVersion,
  type Random,
  silentLogger,
  type Timer,
  type Timers,
  toSafeInteger,
} from '@fleetmq/shared';
import { authorityOf, type ControllerAddress, joinAddresses } from './addresses.ts';
import { errorOf } from './errors.ts';
import { pause } from './pause.ts';
import { VersionWaiters } from './version-waiters.ts';

export interface MetadataWatchOptions {
  /** At least one; asked in turn, until a controller has named them all, and behind those from then on. */
  readonly controllers: readonly ControllerAddress[];
  /** The transport to one address; it stays the caller's. */
  readonly transportOf: (address: ControllerAddress) => Transport;
  /** `broker-1`, `gateway`: for the controllers' logs. */
  readonly watcher: string;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger?: Logger;
  /** Without any message for so long the next controller is asked. Controllers send one every 2 s. Default 6 s. */
  readonly silenceMaxMs?: number;
  /** Between two attempts. Default 50 ms to 1 s. */
  readonly backoff?: BackoffOptions;
  /** Brokers, topics and partitions of one snapshot. Default 5,000,000. */
  readonly snapshotItemsMax?: number;
  /** Callers of `waitForVersion` at one time. Default 10,000. */
  readonly waitersMax?: number;
}

/** Called after the image has changed. Must not throw and must not wait. */
export type MetadataListener = (events: readonly MetadataEvent[], version: MetadataVersion) => void;

/** More controllers than any quorum has are not believed. */
const controllersMax = 64;

export class MetadataWatch implements AsyncDisposable {
  readonly #options: MetadataWatchOptions;
  readonly #logger: Logger;
  readonly #image = new MetadataImage();
  readonly #listeners = new Set<MetadataListener>();
  readonly #waiters: VersionWaiters;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  /** How many controllers had been asked when each was asked last. */
  #askedAt = new Map<string, number>();
  #asked = 0;
  #heardAtMs: number | undefined;
  #term = 0;
  #leaderId = 0;
  #parts: MetadataSnapshotImage[] = [];
  /** As a controller has named them; those that are configured follow. */
  #controllers: readonly ControllerAddress[];

  constructor(options: MetadataWatchOptions) {
    assert(options.controllers.length > 0, 'a metadata watch needs a controller');
    this.#options = options;
    this.#controllers = options.controllers;
    this.#logger = options.logger ?? silentLogger;
    this.#waiters = new VersionWaiters(options.waitersMax ?? 10_000);
  }

  /** For reading only: the watch alone applies events. The same object for life. */
  get image(): MetadataImage {
    return this.#image;
  }

  /** 0 until the first snapshot is there. */
  get version(): MetadataVersion {
    return this.#image.version;
  }

  /** Leader of the controllers as far as is known; 0: none. */
  get leaderId(): number {
    return this.#leaderId;
  }

  /** Where controllers are: all of them as they were last named, then those that are configured. At least one. */
  get controllers(): readonly ControllerAddress[] {
    return this.#controllers;
  }

  /** Since a controller was last heard; Infinity if none ever was. */
  ageMs(): number {
    return this.#heardAtMs === undefined
      ? Number.POSITIVE_INFINITY
      : Math.max(0, this.#options.clock.monotonicMs() - this.#heardAtMs);
  }

  /** Calls `listener` after each change; the result ends that. */
  onChange(listener: MetadataListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Resolves when the image has at least this version. Rejects with the signal's reason, SHUTTING_DOWN or LIMIT_EXCEEDED. */
  waitForVersion(version: number, signal: AbortSignal): Promise<void> {
    return this.#waiters.wait(this.version, version, signal);
  }

  /** Begins to follow. Once. */
  start(): void {
    assert(this.#running === undefined, 'a metadata watch starts once');
    this.#running = this.#run();
  }

  /** Ends the stream and every wait. */
  async stop(): Promise<void> {
    const reason = new DomainError('SHUTTING_DOWN', 'the metadata watch has stopped');
    this.#stopping.abort(reason);
    this.#waiters.close(reason);
    await this.#running;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #run(): Promise<void> {
    const { timers, random, backoff = { baseMs: 50, maxMs: 1_000 } } = this.#options;
    const { signal } = this.#stopping;
    for (let attempt = 1; !signal.aborted; attempt++) {
      if (await this.#follow(this.#choose())) attempt = 1;
      await pause(timers, backoffMs(attempt, backoff, random), signal);
    }
  }

  /** Whom nobody has asked for the longest time: with every answer the list may have another order. */
  #choose(): ControllerAddress {
    const askedAt = new Map(this.#controllers.map((each) => [each, this.#askedAt.get(authorityOf(each)) ?? 0]));
    const oldest = Math.min(...askedAt.values());
    const chosen = this.#controllers.find((each) => askedAt.get(each) === oldest) as ControllerAddress;
    this.#askedAt = new Map([...askedAt].map(([each, at]) => [authorityOf(each), at]));
    this.#askedAt.set(authorityOf(chosen), ++this.#asked);
    return chosen;
  }

  /** One stream to one controller, until it ends. Whether anything came. Throws only for bugs of ours. */
  async #follow(address: ControllerAddress): Promise<boolean> {
    const { timers, transportOf, watcher, silenceMaxMs = 6_000 } = this.#options;
    const silence = new AbortController();
    const onSilence = (): void => silence.abort(new DomainError('TIMEOUT', `no word for ${silenceMaxMs} ms`));
    const signal = AbortSignal.any([this.#stopping.signal, silence.signal]);
    const features = Object.fromEntries(supportedFeatures);
    const request = { version: apiVersion, fromVersion: BigInt(this.version), watcher, features };
    const client = createClient(ControllerBrokerService, transportOf(address));
    const messages = client.watchMetadata(request, { signal })[Symbol.asyncIterator]();
    this.#parts = [];
    let timer: Timer = timers.after(silenceMaxMs, onSilence);
    let heard = false;
    for (;;) {
      const message = await this.#nextMessage(messages, address);
      timer.cancel();
      if (message === undefined || !this.#accept(message, address)) break;
      heard = true;
      timer = timers.after(silenceMaxMs, onSilence);
    }
    // A transport may keep the rest of the stream waiting for its end: only the signal is sure to end it.
    silence.abort();
    return heard;
  }

  async #nextMessage(
    messages: AsyncIterator<WatchMetadataResponse>,
    address: ControllerAddress,
  ): Promise<WatchMetadataResponse | undefined> {
    try {
      const next = await messages.next();
      return next.done === true ? undefined : next.value;
    } catch (thrown) {
      if (!this.#stopping.signal.aborted) this.#warn(errorOf(thrown), address);
      return undefined;
    }
  }

  /** False: the stream is of no use. */
  #accept(message: WatchMetadataResponse, address: ControllerAddress): boolean {
    if (this.#stopping.signal.aborted) return false;
    try {
      this.#receive(message);
      return true;
    } catch (thrown) {
      if (!isDomainError(thrown)) throw thrown;
      this.#warn(thrown, address);
      return false;
    }
  }

  #warn(error: DomainError, address: ControllerAddress): void {
    const fields = { controller: authorityOf(address), code: error.code, reason: error.message, version: this.version };
    this.#logger.warn(fields, 'the metadata watch lost its controller');
  }

  #receive(message: WatchMetadataResponse): void {
    const version = toSafeInteger<MetadataVersion>(message.version, 'metadata version');
    const term = toSafeInteger<number>(message.term, 'term');
    if (message.snapshot !== undefined) {
      this.#receiveSnapshot(snapshotFromProto(message.snapshot), message.snapshotPart);
    } else if (this.#parts.length > 0) {
      throw new DomainError('INVALID_REQUEST', 'the controller did not finish its snapshot');
    } else if (version > this.version) {
      this.#apply(version, message.events.map(eventFromProto));
    }
    this.#heardAtMs = this.#options.clock.monotonicMs();
    if (term < this.#term) return;
    this.#term = term;
    this.#leaderId = message.leaderId;
    this.#receiveControllers(message.controllers);
  }

  /** A controller that has not been told an address leaves it empty. */
  #receiveControllers(controllers: WatchMetadataResponse['controllers']): void {
    const named = controllers.filter(({ host, port }) => host !== '' && port > 0).slice(0, controllersMax);
    if (named.length === 0) return;
    const addresses = named.map(({ controllerId, host, port }) => ({ controllerId, host, port }));
    this.#controllers = joinAddresses(addresses, this.#options.controllers);
  }

  #receiveSnapshot(part: MetadataSnapshotImage, hasMore: boolean): void {
    const { snapshotItemsMax = 5_000_000 } = this.#options;
    this.#parts.push(part);
    let items = 0;
    for (const { brokers, topics, partitions } of this.#parts) {
      items += brokers.length + topics.length + partitions.length;
    }
    if (items > snapshotItemsMax) {
      throw new DomainError('LIMIT_EXCEEDED', `the metadata has more than ${snapshotItemsMax} items`);
    }
    if (hasMore) return;
    const snapshot = joinSnapshotParts(this.#parts);
    this.#parts = [];
    const { clusterId } = this.#image.cluster;
    if (clusterId !== '' && snapshot.cluster.clusterId !== clusterId) {
      throw new DomainError('WRONG_CLUSTER', `this is cluster ${snapshot.cluster.clusterId}, not ${clusterId}`);
    }
    if (snapshot.version <= this.version) return;
    this.#apply(snapshot.version, differenceOf(this.#image.snapshot(), snapshot));
  }

  #apply(version: MetadataVersion, events: readonly MetadataEvent[]): void {
    this.#image.apply(version, events);
    if (events.length > 0) for (const listener of this.#listeners) listener(events, version);
    this.#waiters.reach(version);
  }
}
