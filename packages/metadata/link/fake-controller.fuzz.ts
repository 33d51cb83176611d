/**
 * A controller as far as WatchMetadata goes, served in the process by Connect: a history of events that can be continued or
 * sent as a snapshot, a switch to go down, and a way to fall silent.
 */
import { Code, ConnectError, createRouterTransport, type Transport } from '@connectrpc/connect';
import { ControllerBrokerService, type WatchMetadataRequest } from '@fleetmq/gen/controller/cluster';
import { type MetadataEvent, MetadataImage, snapshotParts } from '@fleetmq/metadata';
import { eventToProto, snapshotToProto } from '@fleetmq/metadata/wire';
import type { MetadataVersion } from '@fleetmq/shared';

interface Entry {
  readonly version: number;
  readonly events: readonly MetadataEvent[];
}

export class FakeController {
  readonly transport: Transport;
  readonly requests: WatchMetadataRequest[] = [];
  readonly #image = new MetadataImage();
  readonly #history: Entry[] = [];
  #changed = Promise.withResolvers<void>();
  /** Versions before this one are no longer in the history: who asks for them gets a snapshot. */
  oldest = 0;
  itemsPerPart = 1_000;
  term = 1;
  leaderId = 1;
  /** What it says of where controllers are. */
  controllers: { readonly controllerId: number; readonly host: string; readonly port: number }[] = [];
  isDown = false;
  isSilent = false;

  constructor() {
    this.transport = createRouterTransport(({ service }) => {
      service(ControllerBrokerService, { watchMetadata: (request, context) => this.#watch(request, context.signal) });
    });
  }

  get image(): MetadataImage {
    return this.#image;
  }

  append(version: number, ...events: MetadataEvent[]): void {
    this.#image.apply(version as MetadataVersion, events);
    this.#history.push({ version, events });
    this.wake();
  }

  /** Breaks every stream, and refuses new ones until `isDown` is false again. */
  goDown(): void {
    this.isDown = true;
    this.wake();
  }

  wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async *#watch(request: WatchMetadataRequest, signal: AbortSignal) {
    this.requests.push(request);
    if (this.isDown) throw new ConnectError('down', Code.Unavailable);
    if (this.isSilent) await this.#pause(signal);
    let sent = Number(request.fromVersion);
    const about = { term: BigInt(this.term), leaderId: this.leaderId, controllers: this.controllers };
    if (sent === 0 || sent < this.oldest || sent > this.#image.version) {
      const parts = [...snapshotParts(this.#image.snapshot(), this.itemsPerPart)];
      for (const [index, part] of parts.entries()) {
        const snapshotPart = index < parts.length - 1;
        yield { ...about, version: BigInt(part.version), snapshot: snapshotToProto(part), snapshotPart };
      }
      sent = this.#image.version;
    }
    for (;;) {
      const changed = this.#changed.promise;
      for (const { version, events } of this.#history) {
        if (version <= sent) continue;
        sent = version;
        yield { ...about, version: BigInt(version), events: events.map(eventToProto) };
      }
      await Promise.race([changed, this.#pause(signal)]);
      if (this.isDown) throw new ConnectError('went down', Code.Unavailable);
      if (signal.aborted) return;
    }
  }

  #pause(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }
}
