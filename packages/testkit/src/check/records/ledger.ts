/**
 * A history in columns: operations, the values that were sent or polled, and what each poll handed over. It is filled event by
 * event, so that a history need not be in memory as objects, and knows nothing of what is right.
 *
 * Rows of `operations` stand in the order of their calls, rows of `sent` in the order in which they were sent, `readings` in the
 * order in which they were answered. A value belongs to a partition: what is polled from one that it was not sent to is another
 * value, which nobody has sent.
 */
import { DomainError } from '@fleetmq/shared';
import { bytes, type Column, floats, integers, none } from './columns.ts';
import {
  type Acks,
  type CallEvent,
  type Exemptions,
  type PollOutput,
  type RecordEvent,
  type RecordKind,
  recordKinds,
  type SendInput,
  type SendOutput,
} from './events.ts';

export type Certainty = 'open' | 'ok' | 'fail' | 'info';
const certainties: readonly Certainty[] = ['open', 'ok', 'fail', 'info'];

/** What an answer binds: the place of the record for good, only if somebody reads the record, or nothing. */
export type Binding = 'binding' | 'if-read' | 'nothing';
const bindings: readonly Binding[] = ['binding', 'if-read', 'nothing'];

export interface Partition {
  readonly index: number;
  readonly name: string;
  readonly topic: string;
  /** Rows of its values. */
  readonly values: Map<string, number>;
}

/** A value at one more offset than where it was read first. */
export interface OtherPlace {
  readonly offset: number;
  readonly reader: number;
}

export class Ledger {
  readonly partitions: Partition[] = [];
  readonly operations = {
    process: floats(),
    kind: bytes(),
    certainty: bytes(),
    binding: bytes(),
    isIdempotent: bytes(),
    /** Of an assignment: the polls to come see what is not committed. Of a poll: it did. */
    isUncommitted: bytes(),
    invokedMs: floats(),
    /** Infinity unless it was answered. */
    returnedMs: floats(),
    error: integers(),
    firstSent: integers(),
    sentCount: integers(),
    firstPart: integers(),
    partCount: integers(),
  };
  readonly values = {
    partition: integers(),
    /** The operation that sent it, or none. */
    sender: integers(),
    key: integers(),
    /** -1: none. */
    ackedOffset: floats(),
    readOffset: floats(),
    /** The operation that read it first; one that reads committed records alone, if there is any. */
    reader: integers(),
    isReadCommitted: bytes(),
  };
  readonly texts: string[] = [];
  /** Rows of values. */
  readonly sent: Column = integers();
  /** Of a poll what it got of one partition; of an assignment a partition whose log it begins at its start. */
  readonly parts = { partition: integers(), firstRecord: integers(), recordCount: integers(), isRebalanced: bytes() };
  readonly records = { offset: floats(), value: integers() };
  /** Operations that read, or change who reads what. */
  readonly readings: Column = integers();
  readonly otherPlaces: Map<number, OtherPlace[]> = new Map();
  readonly exemptions: Exemptions[] = [];
  healedMs = Number.POSITIVE_INFINITY;
  readonly #open = new Map<number, number>();
  readonly #partitions = new Map<string, Partition>();
  readonly #keys = new Map<string, number>();
  readonly #errors = new Map<string, number>();
  readonly #uncommitted = new Set<number>();

  add(event: RecordEvent): void {
    if (event.kind === 'healed') this.healedMs = event.timeMs;
    else if (event.kind === 'exempt') this.exemptions.push(event.input);
    else if (event.type === 'invoke') this.#invoke(event);
    else this.#answer(event);
  }

  kindOf(operation: number): RecordKind {
    return recordKinds[this.operations.kind.at(operation)] as RecordKind;
  }

  certaintyOf(operation: number): Certainty {
    return certainties[this.operations.certainty.at(operation)] as Certainty;
  }

  bindingOf(operation: number): Binding {
    return bindings[this.operations.binding.at(operation)] as Binding;
  }

  partitionOf(value: number): Partition {
    return this.partitions[this.values.partition.at(value)] as Partition;
  }

  /** The code of the error that it was answered with; empty: none. */
  errorOf(operation: number): string {
    return [...this.#errors.keys()][this.operations.error.at(operation)] ?? '';
  }

  partition(name: string): Partition {
    const known = this.#partitions.get(name);
    if (known !== undefined) return known;
    const slash = name.lastIndexOf('/');
    const topic = slash < 0 ? name : name.slice(0, slash);
    const partition = { index: this.partitions.length, name, topic, values: new Map() };
    this.partitions.push(partition);
    this.#partitions.set(name, partition);
    return partition;
  }

  #invoke(event: CallEvent & { readonly type: 'invoke' }): void {
    const { operations } = this;
    if (this.#open.has(event.id)) throw invalid(`operation ${event.id} is called twice`);
    const operation = operations.process.push(event.process);
    this.#open.set(event.id, operation);
    operations.kind.push(recordKinds.indexOf(event.kind));
    operations.certainty.push(certainties.indexOf('open'));
    operations.invokedMs.push(event.timeMs);
    operations.returnedMs.push(Number.POSITIVE_INFINITY);
    operations.error.push(none);
    operations.firstSent.push(this.sent.length);
    operations.firstPart.push(this.parts.partition.length);
    const isSending = event.kind === 'send' || event.kind === 'txn';
    operations.binding.push(bindings.indexOf(isSending ? bindingAt(event.input.acks) : 'nothing'));
    operations.isIdempotent.push(isSending && event.input.idempotent === false ? 0 : 1);
    if (isSending) this.#send(operation, event.input);
    operations.sentCount.push(this.sent.length - operations.firstSent.at(operation));
    const isAssigning = event.kind === 'assign' || event.kind === 'subscribe';
    operations.isUncommitted.push(isAssigning && event.input.isolation === 'read-uncommitted' ? 1 : 0);
    if (event.kind === 'assign' && event.input.from === 'earliest') {
      for (const name of event.input.partitions) this.#part(this.partition(name), 0, false);
    }
    operations.partCount.push(this.parts.partition.length - operations.firstPart.at(operation));
  }

  #send(operation: number, { sends }: SendInput): void {
    for (const { partition: name, values, keys } of sends) {
      const partition = this.partition(name);
      for (const [position, text] of values.entries()) {
        const value = this.#value(partition, text);
        if (this.values.sender.at(value) !== none) throw invalid(`${text} is sent to ${name} twice`);
        this.values.sender.set(value, operation);
        this.values.key.set(value, this.#key(keys?.[position] ?? null));
        this.sent.push(value);
      }
    }
  }

  #answer(event: Exclude<CallEvent, { readonly type: 'invoke' }>): void {
    const { operations } = this;
    const operation = this.#open.get(event.id);
    if (operation === undefined || this.kindOf(operation) !== event.kind) {
      throw invalid(`there is an answer to ${event.kind} ${event.id}, which nobody has called`);
    }
    this.#open.delete(event.id);
    operations.certainty.set(operation, certainties.indexOf(event.type));
    if (event.type !== 'info') operations.returnedMs.set(operation, event.timeMs);
    if (event.type !== 'ok') operations.error.set(operation, this.#error(event.error));
    if (event.kind === 'assign' || event.kind === 'subscribe') this.#assign(operation, event);
    if (event.type !== 'ok') return;
    if (event.kind === 'send' || event.kind === 'txn') this.#acknowledge(operation, event.output);
    if (event.kind === 'poll' || event.kind === 'txn') this.#read(operation, event.output);
  }

  /** One that may have happened ends what is known of the one before. */
  #assign(operation: number, { type, process }: CallEvent): void {
    if (type === 'fail') return;
    this.readings.push(operation);
    if (this.operations.isUncommitted.at(operation) === 1) this.#uncommitted.add(process);
    else this.#uncommitted.delete(process);
  }

  #acknowledge(operation: number, { offsets }: SendOutput): void {
    const { firstSent, sentCount } = this.operations;
    if (offsets.length !== sentCount.at(operation)) {
      throw invalid(`${sentCount.at(operation)} values are answered with ${offsets.length} offsets`);
    }
    for (const [position, offset] of offsets.entries()) {
      this.values.ackedOffset.set(this.sent.at(firstSent.at(operation) + position), offset ?? -1);
    }
  }

  #read(operation: number, { polls, rebalanced = [] }: PollOutput): void {
    const isCommitted = !this.#uncommitted.has(this.operations.process.at(operation));
    this.operations.isUncommitted.set(operation, isCommitted ? 0 : 1);
    this.readings.push(operation);
    this.operations.firstPart.set(operation, this.parts.partition.length);
    for (const { partition: name, records } of polls) {
      const partition = this.partition(name);
      this.#part(partition, records.length, rebalanced.includes(name));
      for (const [offset, text] of records) {
        const value = this.#value(partition, text);
        this.records.offset.push(offset);
        this.records.value.push(value);
        this.#seen({ value, offset, operation, isCommitted });
      }
    }
    for (const name of rebalanced) this.#part(this.partition(name), 0, true);
    this.operations.partCount.set(operation, this.parts.partition.length - this.operations.firstPart.at(operation));
  }

  #part(partition: Partition, recordCount: number, isRebalanced: boolean): void {
    this.parts.partition.push(partition.index);
    this.parts.firstRecord.push(this.records.offset.length);
    this.parts.recordCount.push(recordCount);
    this.parts.isRebalanced.push(isRebalanced ? 1 : 0);
  }

  #seen(seen: { value: number; offset: number; operation: number; isCommitted: boolean }): void {
    const { value, offset, operation, isCommitted } = seen;
    const { readOffset, reader, isReadCommitted } = this.values;
    const first = readOffset.at(value);
    if (first < 0) readOffset.set(value, offset);
    if (first < 0 || (isCommitted && isReadCommitted.at(value) === 0)) reader.set(value, operation);
    if (isCommitted) isReadCommitted.set(value, 1);
    if (first < 0 || first === offset) return;
    const others = this.otherPlaces.get(value) ?? [];
    if (!others.some((place) => place.offset === offset)) others.push({ offset, reader: operation });
    this.otherPlaces.set(value, others);
  }

  #value({ index, values }: Partition, text: string): number {
    const known = values.get(text);
    if (known !== undefined) return known;
    const value = this.texts.push(text) - 1;
    values.set(text, value);
    this.values.partition.push(index);
    this.values.sender.push(none);
    this.values.key.push(none);
    this.values.ackedOffset.push(-1);
    this.values.readOffset.push(-1);
    this.values.reader.push(none);
    this.values.isReadCommitted.push(0);
    return value;
  }

  #key(key: string | null): number {
    return key === null ? none : numberOf(this.#keys, key);
  }

  #error(error: string): number {
    return numberOf(this.#errors, error.split(':', 1)[0] ?? '');
  }
}

function numberOf(numbers: Map<string, number>, text: string): number {
  const known = numbers.get(text) ?? numbers.size;
  numbers.set(text, known);
  return known;
}

function bindingAt(acks: Acks = 'all'): Binding {
  if (acks === 'none') return 'nothing';
  return acks === 'leader' ? 'if-read' : 'binding';
}

function invalid(text: string): DomainError {
  return new DomainError('INVALID_REQUEST', text);
}
