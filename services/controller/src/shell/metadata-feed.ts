/**
 * WatchMetadata: every change of the metadata, to any number of brokers and gateways, from any controller.
 *
 * The newest changes are kept in one bounded history that all watchers share; a watcher is a cursor into it, so a slow one
 * costs nothing and holds up nobody. One that asks for a version before the history gets a snapshot, in parts. One that
 * falls behind the history while it is being served is dropped with an error, and comes back.
 * Invariants: a watcher sees each change once, in order, none skipped; versions never go back: a node that is behind the
 * watcher waits, then sends it away. A node that knows no leader sends nothing, since it may be cut off, and then ends.
 */
import type { MetadataEvent } from '@fleetmq/metadata';
import { encodeEvents, type SnapshotPages } from '@fleetmq/metadata/wire';
import { assert, DomainError, type Logger, type MetadataVersion, type Timers } from '@fleetmq/shared';
import type { PeerAddress } from '../domain/peers.ts';
import type { MetadataView } from '../domain/view.ts';
import { memberToProto } from '../wire/membership.ts';
import { eventsField, type WatchMessage } from '../wire/watch.ts';
import type { LeadershipState } from './leadership.ts';

export interface MetadataFeedOptions {
  readonly view: () => MetadataView;
  /** Of the same image. */
  readonly pages: () => SnapshotPages;
  readonly leadership: LeadershipState;
  /** Where the controllers are, as far as this node knows. */
  readonly controllers: () => readonly PeerAddress[];
  readonly timers: Timers;
  readonly logger: Logger;
  /** Events that are kept for watchers. Default 100,000. */
  readonly historyEventsMax: number;
  /** Size of one part of a snapshot, about. Default 256 KiB. */
  readonly partBytesMax: number;
  /** Events in one answer. Default 1,000; those of one command stay together. */
  readonly answerEventsMax: number;
  /** Without news a watcher gets a heartbeat after this. Default 2 s. */
  readonly heartbeatMs: number;
  /** A watch ends when the node is behind the watcher, or knows no leader, for so long. Default 5 s. */
  readonly patienceMs: number;
  /** Open watches. Default 1,000. */
  readonly watchersMax: number;
}

interface Change {
  readonly version: MetadataVersion;
  readonly eventCount: number;
  /** Encoded when the first watcher needs them. */
  events: readonly MetadataEvent[] | Uint8Array;
}

/** Topics and partitions that are encoded for a snapshot in one go, and the pause until the next ones. */
const sliceItems = 2_000;
const slicePauseMs = 1;

export class MetadataFeed {
  readonly #options: MetadataFeedOptions;
  /** By version. The first `#dropped` are gone. */
  #history: Change[] = [];
  #dropped = 0;
  #eventCount = 0;
  /** The history holds every change behind this version. */
  #floor: MetadataVersion;
  readonly #wakers = new Set<() => void>();
  #watchers = 0;
  /** Rises with each change of the controllers. */
  #memberChanges = 0;

  constructor(options: MetadataFeedOptions) {
    this.#options = options;
    this.#floor = options.view().version;
    options.leadership.addListener(() => this.#wake());
  }

  get watchers(): number {
    return this.#watchers;
  }

  /** The state machine has applied these. */
  add(events: readonly MetadataEvent[], version: MetadataVersion): void {
    this.#history.push({ version, eventCount: events.length, events });
    this.#eventCount += events.length;
    while (this.#eventCount > this.#options.historyEventsMax && this.#dropped < this.#history.length) {
      const oldest = this.#history[this.#dropped++] as Change;
      this.#eventCount -= oldest.eventCount;
      this.#floor = oldest.version;
    }
    if (this.#dropped > 1_000 && this.#dropped > this.#history.length / 2) {
      this.#history = this.#history.slice(this.#dropped);
      this.#dropped = 0;
    }
    this.#wake();
  }

  /** There are other controllers, or they are reached elsewhere. */
  membersChanged(): void {
    this.#memberChanges++;
    this.#wake();
  }

  /** The image was replaced: what led to it is not known. */
  reset(): void {
    this.#history = [];
    this.#dropped = 0;
    this.#eventCount = 0;
    this.#floor = this.#options.view().version;
    this.#wake();
  }

  /** `fromVersion` 0: a snapshot first. Ends with NOT_AVAILABLE, LIMIT_EXCEEDED, or when the signal aborts. */
  async *watch(request: { fromVersion: number; watcher: string }, signal: AbortSignal): AsyncGenerator<WatchMessage> {
    const { watchersMax, logger } = this.#options;
    if (this.#watchers >= watchersMax) throw new DomainError('LIMIT_EXCEEDED', `${watchersMax} watches are open`);
    this.#watchers++;
    logger.debug(request, 'a metadata watch begins');
    try {
      let cursor = request.fromVersion;
      if (cursor > 0) {
        await this.#catchUp(cursor, signal);
        // A word from a node that is cut off would make old metadata look fresh. Who has nothing takes what there is.
        await this.#requireLeader(signal);
      }
      if (cursor === 0 || cursor < this.#floor) {
        await this.#prepareSnapshot(signal);
        const { snapshot, messages } = this.#snapshot();
        yield* messages;
        cursor = snapshot;
      } else {
        // Right away: the watcher learns that it is up to date, and who leads.
        yield this.#message(cursor as MetadataVersion, []);
      }
      yield* this.#follow(cursor, signal);
    } finally {
      this.#watchers--;
    }
  }

  async *#follow(from: number, signal: AbortSignal): AsyncGenerator<WatchMessage> {
    const { heartbeatMs, leadership } = this.#options;
    let cursor = from;
    let toldLeader = leadership.leaderId;
    let toldMembers = this.#memberChanges;
    while (!signal.aborted) {
      if (cursor < this.#floor) {
        throw new DomainError('NOT_AVAILABLE', `this watch is ${this.#floor - cursor} versions behind: begin again`);
      }
      const next = this.#changesAfter(cursor);
      // Otherwise this loop would look for them for ever.
      assert(next !== undefined || this.#options.view().version <= cursor, 'the feed lacks changes that the image has');
      if (next !== undefined) {
        toldLeader = leadership.leaderId;
        yield next;
        cursor = Number(next.version);
        continue;
      }
      const isNews = (): boolean =>
        this.#options.view().version > cursor ||
        this.#memberChanges !== toldMembers ||
        (leadership.leaderId !== 0 && leadership.leaderId !== toldLeader);
      const hasNews = await this.#waitFor(isNews, heartbeatMs, signal);
      if (signal.aborted) return;
      if (hasNews && this.#options.view().version > cursor) continue;
      await this.#requireLeader(signal);
      toldLeader = leadership.leaderId;
      toldMembers = this.#memberChanges;
      yield this.#message(cursor as MetadataVersion, []);
    }
  }

  /** The next changes behind `cursor`, as many as one answer may hold. */
  #changesAfter(cursor: number): WatchMessage | undefined {
    const first = this.#firstAfter(cursor);
    const events: Uint8Array[] = [];
    let eventCount = 0;
    let version: MetadataVersion | undefined;
    for (let position = first; position < this.#history.length; position++) {
      const change = this.#history[position] as Change;
      if (version !== undefined && eventCount + change.eventCount > this.#options.answerEventsMax) break;
      if (!(change.events instanceof Uint8Array)) change.events = encodeEvents(eventsField, change.events);
      events.push(change.events);
      eventCount += change.eventCount;
      version = change.version;
    }
    return version === undefined ? undefined : this.#message(version, events);
  }

  /** Position of the first change with a version above `cursor`. */
  #firstAfter(cursor: number): number {
    let low = this.#dropped;
    let high = this.#history.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#history[middle] as Change).version > cursor) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Most of the work for a snapshot, if nobody has done it yet: in slices, so that it holds up nothing else. */
  async #prepareSnapshot(signal: AbortSignal): Promise<void> {
    const { view, pages, timers } = this.#options;
    // What changes meanwhile is done again, but not for ever.
    let items = view().topicCount + view().partitionCount;
    while (items >= 0 && !signal.aborted) {
      const done = pages().prepare(sliceItems);
      if (done < sliceItems) return;
      items -= done;
      await new Promise<void>((resolve) => timers.after(slicePauseMs, resolve));
    }
  }

  /** All of one moment, although its parts leave one after the other. */
  #snapshot(): { snapshot: MetadataVersion; messages: Generator<WatchMessage> } {
    const { view, pages, partBytesMax } = this.#options;
    const { version } = view();
    const parts = pages().parts(partBytesMax);
    const message = this.#message.bind(this);
    function* messages(): Generator<WatchMessage> {
      for (const [position, snapshot] of parts.entries()) {
        yield { ...message(version, []), snapshot, hasMoreParts: position < parts.length - 1 };
      }
    }
    return { snapshot: version, messages: messages() };
  }

  #message(version: MetadataVersion, events: readonly Uint8Array[]): WatchMessage {
    const { leaderId, term } = this.#options.leadership;
    const controllers = events.length > 0 ? [] : this.#options.controllers();
    return {
      version,
      term,
      leaderId,
      events,
      controllers: controllers.map((each) => memberToProto({ diskId: '', ...each })),
    };
  }

  async #catchUp(version: number, signal: AbortSignal): Promise<void> {
    const { view, patienceMs } = this.#options;
    if (await this.#waitFor(() => view().version >= version, patienceMs, signal)) return;
    signal.throwIfAborted();
    throw new DomainError('NOT_AVAILABLE', `this controller is at version ${view().version}, not yet at ${version}`);
  }

  async #requireLeader(signal: AbortSignal): Promise<void> {
    const { leadership, patienceMs } = this.#options;
    if (await this.#waitFor(() => leadership.leaderId !== 0, patienceMs, signal)) return;
    signal.throwIfAborted();
    throw new DomainError('NOT_AVAILABLE', `this controller has known no leader for ${patienceMs} ms`);
  }

  /** False when the time is up, or the signal aborts. */
  #waitFor(condition: () => boolean, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    if (condition()) return Promise.resolve(true);
    if (signal.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const end = (result: boolean): void => {
        this.#wakers.delete(onWake);
        timer.cancel();
        signal.removeEventListener('abort', onAbort);
        resolve(result);
      };
      const onWake = (): void => {
        if (condition()) end(true);
      };
      const onAbort = (): void => end(false);
      const timer = this.#options.timers.after(timeoutMs, () => end(false));
      this.#wakers.add(onWake);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  #wake(): void {
    for (const wake of [...this.#wakers]) wake();
  }
}
