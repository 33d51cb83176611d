/**
 * Holds the metadata image and folds the log into it: each committed command exactly once, in the log's order. One owner,
 * the Raft driver, calls `apply` and `restore`; everybody else reads.
 *
 * Invariants: the image's version is the index of the last command that changed something; a refused command changes
 * nothing; events reach listeners after the image has them, in order. An entry that cannot be decoded stops the node.
 */
import type { MetadataEvent, MetadataImage } from '@fleetmq/metadata';
import type { Entry, Snapshot } from '@fleetmq/raft';
import { assert, type LogIndex, type MetadataVersion, type Term } from '@fleetmq/shared';
import { applyCommand, type Outcome } from '../domain/apply.ts';
import type { MetadataView } from '../domain/view.ts';
import { decodeCommand } from '../wire/commands.ts';
import { splitEntryData } from '../wire/entry-data.ts';
import { decodeImage, encodeImage } from '../wire/snapshot.ts';

export interface StateListener {
  /** The image has these events; it is at `version`. Not called for commands that changed nothing. */
  onEvents?(events: readonly MetadataEvent[], version: MetadataVersion): void;
  /** Another image took the place of the one before: a snapshot was installed. */
  onRestore?(): void;
  /** An entry of the log was applied; `outcome` is undefined for one that carries no command. */
  onApplied?(entry: Pick<Entry, 'index' | 'term'>, outcome: Outcome<unknown> | undefined): void;
}

export class StateMachine {
  #image: MetadataImage;
  #appliedIndex: LogIndex;
  #appliedTerm: Term;
  readonly #listeners: StateListener[] = [];

  constructor(snapshot: Snapshot) {
    this.#image = decodeImage(snapshot.data);
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

  /** A committed entry. One that carries no command (a no-op, a configuration change) only moves the index. */
  apply(entry: Entry): void {
    assert(entry.index === this.#appliedIndex + 1, `entry ${entry.index} is applied behind ${this.#appliedIndex}`);
    this.#appliedIndex = entry.index;
    this.#appliedTerm = entry.term;
    const outcome = entry.type === 'EntryNormal' && entry.data.length > 0 ? this.#applyCommand(entry) : undefined;
    for (const listener of this.#listeners) listener.onApplied?.(entry, outcome);
  }

  restore(snapshot: Snapshot): void {
    assert(snapshot.index > this.#appliedIndex, `snapshot ${snapshot.index} is older than ${this.#appliedIndex}`);
    this.#image = decodeImage(snapshot.data);
    this.#appliedIndex = snapshot.index;
    this.#appliedTerm = snapshot.term;
    for (const listener of this.#listeners) listener.onRestore?.();
  }

  /** Bytes of the state as of `appliedIndex`; equal on every node. */
  snapshotBytes(): Uint8Array {
    return encodeImage(this.#image);
  }

  #applyCommand(entry: Entry): Outcome<unknown> {
    const { timestampMs, command } = splitEntryData(entry.data);
    const outcome = applyCommand(this.#image, decodeCommand(command), { index: entry.index, timestampMs });
    if (outcome.events.length > 0) {
      const version = entry.index as number as MetadataVersion;
      this.#image.apply(version, outcome.events);
      for (const listener of this.#listeners) listener.onEvents?.(outcome.events, version);
    }
    return outcome;
  }
}
