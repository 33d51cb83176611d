/**
 * Holds the metadata image and folds the log into it: each committed command exactly once, in the log's order. One owner,
 * the Raft driver, calls `apply` and `restore`; everybody else reads.
 *
 * Invariants: the image's version is the index of the last command that changed something; a refused command changes
 * nothing; events reach listeners after the image has them, in order. An entry that cannot be decoded stops the node.
 */
import { type MetadataEvent, type MetadataImage, supportedFeatures, unsupportedFeature } from '@fleetmq/metadata';
import { SnapshotPages } from '@fleetmq/metadata/wire';
import { decodeConfChange, type Entry, type Snapshot } from '@fleetmq/raft';
import { assert, DomainError, type LogIndex, type MetadataVersion, type Term } from '@fleetmq/shared';
import { applyCommand, type Outcome } from '../domain/apply.ts';
import { type Membership, noMembership } from '../domain/membership.ts';
import type { MetadataView } from '../domain/view.ts';
import { decodeCommand } from '../wire/commands.ts';
import { splitEntryData } from '../wire/entry-data.ts';
import { decodeMembership, membershipToProto } from '../wire/membership.ts';
import { decodeState } from '../wire/snapshot.ts';

export interface StateListener {
  /** The image has these events; it is at `version`. Not called for commands that changed nothing. */
  onEvents?(events: readonly MetadataEvent[], version: MetadataVersion): void;
  /** Another image took the place of the one before: a snapshot was installed. */
  onRestore?(): void;
  /** An entry of the log was applied; `outcome` is undefined for one that carries no command. */
  onApplied?(entry: Pick<Entry, 'index' | 'term' | 'type'>, outcome: Outcome<unknown> | undefined): void;
  /** The quorum has other members, addresses or disks: a configuration change was applied, or a snapshot installed. */
  onMembership?(membership: Membership): void;
}

export class StateMachine {
  #image: MetadataImage;
  #pages: SnapshotPages;
  #membership: Membership;
  #appliedIndex: LogIndex;
  #appliedTerm: Term;
  readonly #listeners: StateListener[] = [];

  /** UNSUPPORTED_VERSION when the snapshot uses levels of features that this version does not know. */
  constructor(snapshot: Snapshot) {
    ({ image: this.#image, membership: this.#membership } = decodeState(snapshot.data));
    this.#pages = new SnapshotPages(this.#image);
    this.#refuseUnknownFeatures();
    this.#appliedIndex = snapshot.index;
    this.#appliedTerm = snapshot.term;
  }

  /** For reading only. Ask again after every wait: a snapshot replaces the object. */
  get view(): MetadataView {
    return this.#image;
  }

  /** The same image, for functions that ask for the class. */
  get image(): MetadataImage {
    return this.#image;
  }

  /** Its bytes. Ask again after every wait, as for the image. */
  get pages(): SnapshotPages {
    return this.#pages;
  }

  /** Empty until the quorum has changed for the first time. */
  get membership(): Membership {
    return this.#membership;
  }

  get appliedIndex(): LogIndex {
    return this.#appliedIndex;
  }

  get appliedTerm(): Term {
    return this.#appliedTerm;
  }

  /** For life. Listeners are called in the order in which they came, and must not throw. */
  addListener(listener: StateListener): void {
    this.#listeners.push(listener);
  }

  /** A committed entry. A no-op only moves the index; a configuration change brings the membership along. */
  apply(entry: Entry): void {
    assert(entry.index === this.#appliedIndex + 1, `entry ${entry.index} is applied behind ${this.#appliedIndex}`);
    this.#appliedIndex = entry.index;
    this.#appliedTerm = entry.term;
    const isCommand = entry.type === 'EntryNormal' && entry.data.length > 0;
    const outcome = isCommand ? this.#applyCommand(entry) : undefined;
    if (entry.type !== 'EntryNormal') this.#applyMembership(entry);
    for (const listener of this.#listeners) listener.onApplied?.(entry, outcome);
  }

  restore(snapshot: Snapshot): void {
    assert(snapshot.index > this.#appliedIndex, `snapshot ${snapshot.index} is older than ${this.#appliedIndex}`);
    ({ image: this.#image, membership: this.#membership } = decodeState(snapshot.data));
    this.#pages = new SnapshotPages(this.#image);
    this.#appliedIndex = snapshot.index;
    this.#appliedTerm = snapshot.term;
    this.#refuseUnknownFeatures();
    for (const listener of this.#listeners) listener.onRestore?.();
    for (const listener of this.#listeners) listener.onMembership?.(this.#membership);
  }

  /** Bytes of the state as of `appliedIndex`; equal on every node. Takes little time once `pages` are prepared. */
  snapshotBytes(): Uint8Array {
    return this.#pages.encode(this.#membership === noMembership ? undefined : membershipToProto(this.#membership));
  }

  /** A change without a context leaves addresses and disks as they are. */
  #applyMembership(entry: Entry): void {
    const { context } = entry.data.length === 0 ? { context: entry.data } : decodeConfChange(entry.type, entry.data);
    if (context.length === 0) return;
    this.#membership = decodeMembership(context);
    for (const listener of this.#listeners) listener.onMembership?.(this.#membership);
  }

  #applyCommand(entry: Entry): Outcome<unknown> {
    const { timestampMs, command } = splitEntryData(entry.data);
    const outcome = applyCommand(this.#image, decodeCommand(command), { index: entry.index, timestampMs });
    if (outcome.events.length > 0) {
      const version = entry.index as number as MetadataVersion;
      this.#image.apply(version, outcome.events);
      this.#pages.changed(outcome.events);
      if (outcome.events.some(({ kind }) => kind === 'cluster-changed')) this.#refuseUnknownFeatures();
      for (const listener of this.#listeners) listener.onEvents?.(outcome.events, version);
    }
    return outcome;
  }

  /** A node that does not know what the others write would hold other metadata than they do. */
  #refuseUnknownFeatures(): void {
    const why = unsupportedFeature(this.#image.cluster.features, supportedFeatures);
    if (why !== undefined) throw new DomainError('UNSUPPORTED_VERSION', `this controller is too old: ${why}`);
  }
}
