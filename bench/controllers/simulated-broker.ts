/**
 * A broker as far as the controllers see it: registers, sends heartbeats, watches the metadata. It holds no partition and keeps
 * no metadata, so that the controllers are measured and not it: of what it is sent it reads the version and counts the bytes.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { ControllerBrokerService, WatchMetadataRequestSchema } from '@fleetmq/gen/controller/cluster';
import { supportedFeatures } from '@fleetmq/metadata';
import { isDomainError, visitFields, WireReader } from '@fleetmq/shared';
import type { LaneTransport } from '@fleetmq/shared/runtime';
import { type ControllerFleet, eventually } from './fleet.ts';

/** The default of `broker.heartbeat-ms`. */
const heartbeatMs = 500;
const { registerBroker, heartbeatBroker, watchMetadata } = ControllerBrokerService.method;

export class SimulatedBroker implements AsyncDisposable {
  readonly brokerId: number;
  readonly watch: MetadataListener;
  readonly #bench: ControllerFleet;
  #lives = 0;
  #brokerEpoch = 0n;
  #fenced = true;
  #heartbeats: NodeJS.Timeout | undefined;

  private constructor(bench: ControllerFleet, brokerId: number, watch: MetadataListener) {
    this.#bench = bench;
    this.brokerId = brokerId;
    this.watch = watch;
  }

  /** Registers, watches the metadata at one of the controllers, and waits until it is in service. */
  static async start(bench: ControllerFleet, brokerId: number): Promise<SimulatedBroker> {
    const port = bench.controllers[brokerId % bench.controllers.length]?.listeners['internal']?.port;
    const watch = new MetadataListener(bench.pool.get(`http://127.0.0.1:${port}`), `broker-${brokerId}`);
    const broker = new SimulatedBroker(bench, brokerId, watch);
    broker.#heartbeats = setInterval(() => void broker.#heartbeat(), heartbeatMs);
    await broker.beginLife();
    return broker;
  }

  /** Registers as a new process with the same disk, as after a crash. Resolves when it is in service. */
  async beginLife(): Promise<void> {
    const { brokerId } = this;
    const answer = await this.#bench.calls.unary(registerBroker, {
      brokerId,
      incarnationId: `life-${++this.#lives}`,
      diskId: `disk-${brokerId}`,
      endpoints: [{ listener: 'client', host: '127.0.0.1', port: 9_000 + brokerId }],
      features: Object.fromEntries(supportedFeatures),
    });
    this.#fenced = true;
    this.#brokerEpoch = answer.brokerEpoch;
    await eventually(`broker ${brokerId} to be in service at version ${this.watch.version}`, async () => {
      await this.#heartbeat();
      return this.#fenced ? undefined : true;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#heartbeats);
    await this.watch[Symbol.asyncDispose]();
  }

  async #heartbeat(): Promise<void> {
    const { brokerId } = this;
    const brokerEpoch = this.#brokerEpoch;
    if (brokerEpoch === 0n) return;
    const options = { idempotent: true, timeoutMs: 5_000 };
    try {
      const beat = { brokerId, brokerEpoch, metadataVersion: BigInt(this.watch.version) };
      const answer = await this.#bench.calls.unary(heartbeatBroker, beat, options);
      if (brokerEpoch === this.#brokerEpoch) this.#fenced = answer.fenced;
    } catch {
      // The next one tries again.
    }
  }
}

/** One watch of the metadata at one controller; when it ends, another one goes on from where it was. */
export class MetadataListener implements AsyncDisposable {
  readonly #transport: LaneTransport;
  readonly #watcher: string;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #version = 0;
  #bytes = 0;
  #failure: unknown;

  constructor(transport: LaneTransport, watcher: string) {
    this.#transport = transport;
    this.#watcher = watcher;
    this.#running = this.#run();
  }

  /** 0 until it has a whole snapshot. Throws what ended the watch for good. */
  get version(): number {
    if (this.#failure !== undefined) throw this.#failure;
    return this.#version;
  }

  /** Of all messages so far. */
  get bytes(): number {
    return this.#bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const request = create(WatchMetadataRequestSchema, {
        fromVersion: BigInt(this.#version),
        watcher: this.#watcher,
        features: Object.fromEntries(supportedFeatures),
      });
      const bytes = toBinary(WatchMetadataRequestSchema, request);
      try {
        for await (const message of this.#transport.rawServerStream(watchMetadata, bytes, { signal })) {
          this.#receive(message);
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!isDomainError(error) || !error.retriable) {
          this.#failure = error;
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  #receive(message: Uint8Array): void {
    let version = 0;
    let isPart = false;
    visitFields(new WireReader(message), (field, reader) => {
      if (field === 1) version = reader.varint();
      if (field === 5) isPart = reader.varint() !== 0;
    });
    this.#bytes += message.length;
    if (!isPart) this.#version = version;
  }
}
