/**
 * A random correct execution: partitions with a committed log and a tail that may be cut off, idempotent producers with several
 * sends under way, whose answers get lost and whose batches are repeated, and readers that see what is committed, are assigned anew and
 * rebalanced, and poll everything at the end. Whatever the seed, there is nothing to find.
 */
import { type Random, seededRandom } from '@fleetmq/shared';
import type { Acks, PollPart, RecordEvent, SendInput } from './events.ts';
import { type RecordedCall, RecordRecorder } from './recorder.ts';

interface Batch {
  readonly producer: number;
  readonly values: readonly string[];
  /** Undefined: its answer is out, or lost. */
  call: RecordedCall<'send'> | undefined;
  readonly acks: Acks;
  offset: number;
}

const partitions = ['t/0', 't/1', 'u/0'];
const producers = [1, 2, 3];
const readers = [7, 8];
export const finalReader = 9;
const acksOf: readonly Acks[] = ['all', 'all', 'majority', 2, 'leader', 'none'];

class Log {
  readonly name: string;
  /** Every committed record, by offset; gaps are empty. */
  readonly committed: (string | undefined)[] = [];
  readonly tail: Batch[] = [];
  start = 0;

  constructor(name: string) {
    this.name = name;
  }

  get end(): number {
    return this.tail.reduce((end, { values }) => end + values.length, this.committed.length);
  }
}

export class Execution {
  readonly events: RecordEvent[] = [];
  readonly #random: Random;
  readonly #recorder: RecordRecorder;
  readonly #logs = partitions.map((name) => new Log(name));
  /** Sends that no leader has appended yet, oldest first, by producer and partition. */
  readonly #waiting = new Map<string, Batch[]>();
  /** By reader and partition. */
  readonly #positions = new Map<string, number>();
  #nowMs = 0;
  #values = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    const nowMs = () => this.#nowMs;
    this.#recorder = new RecordRecorder({ nowMs, write: (event) => this.events.push(event) });
  }

  run(steps: number): this {
    for (const reader of readers) this.#assign(reader);
    for (let step = 0; step < steps; step++) {
      this.#nowMs += this.#random.next() * 5;
      this.#step();
    }
    this.#recorder.healed();
    for (const log of this.#logs) while (log.tail.length > 0) this.#commit(log);
    const logStarts = Object.fromEntries(this.#logs.map(({ name, start }) => [name, start]));
    this.#recorder.exempt({ logStarts });
    for (const log of this.#logs) this.#readAll(log);
    return this;
  }

  #step(): void {
    const log = this.#pick(this.#logs);
    const dice = this.#random.next();
    if (dice < 0.3) this.#send(this.#pick(producers), log);
    else if (dice < 0.5) this.#append(log);
    else if (dice < 0.52) this.#giveUp(this.#pick(producers), log);
    else if (dice < 0.65) this.#commit(log);
    else if (dice < 0.68) this.#cutTail(log);
    else if (dice < 0.7) log.committed.push(...(log.tail.length === 0 ? [undefined] : []));
    else if (dice < 0.96) this.#poll(this.#pick(readers));
    else if (dice < 0.98) this.#assign(this.#pick(readers));
    else log.start = Math.max(log.start, Math.floor(this.#random.next() * log.committed.length * 0.5));
  }

  #send(producer: number, { name }: Log): void {
    const values = Array.from({ length: 1 + this.#below(3) }, () => `v${this.#values++}`);
    const acks = this.#pick(acksOf);
    const sends: SendInput['sends'] = [{ partition: name, values }];
    const call = this.#recorder.invoke(producer, 'send', { sends, acks });
    if (this.#random.next() < 0.1) {
      call.fail('NOT_ENOUGH_REPLICAS: 1 of 2');
      return;
    }
    const waiting = this.#waitingOf(producer, name);
    waiting.push({ producer, values, call, acks, offset: -1 });
  }

  /** The oldest of a producer, once: a repeated one is answered with its first offset. */
  #append(log: Log): void {
    const producer = this.#pick(producers);
    const batch = this.#waitingOf(producer, log.name).shift();
    if (batch === undefined) return;
    batch.offset = log.end;
    log.tail.push(batch);
    const isAnswered = batch.acks === 'leader' || batch.acks === 'none';
    if (isAnswered) this.#answer(batch);
  }

  #commit(log: Log): void {
    const batch = log.tail.shift();
    if (batch === undefined) return;
    log.committed.push(...batch.values);
    this.#answer(batch);
  }

  /** A leader is lost with what it had alone; the producers repeat what has no answer, in their order, or never do. */
  #cutTail(log: Log): void {
    const cut = log.tail.splice(this.#below(log.tail.length + 1));
    for (const batch of cut) if (this.#random.next() < 0.5) this.#lose(batch);
    for (const batch of cut.reverse()) {
      if (batch.call !== undefined) this.#waitingOf(batch.producer, log.name).unshift(batch);
    }
  }

  #answer(batch: Batch): void {
    if (this.#random.next() < 0.1) this.#lose(batch);
    const { values, offset, acks } = batch;
    // That of the lowest level binds nobody.
    const first = acks === 'none' ? 1_000_000 : offset;
    batch.call?.ok({ offsets: values.map((_, position) => first + position) });
    batch.call = undefined;
  }

  #lose(batch: Batch): void {
    if (this.#random.next() < 0.7) batch.call?.info('TIMEOUT: after 30 s');
    batch.call = undefined;
  }

  /** The client waits no longer for a send that is still on its way. */
  #giveUp(producer: number, { name }: Log): void {
    const batch = this.#waitingOf(producer, name)[0];
    if (batch !== undefined) this.#lose(batch);
  }

  #assign(reader: number): void {
    if (this.#random.next() < 0.3) {
      this.#recorder.invoke(reader, 'subscribe', { topics: ['t', 'u'] }).ok({});
      for (const log of this.#logs) this.#positions.set(`${reader} ${log.name}`, this.#anyPosition(log));
      return;
    }
    this.#recorder.invoke(reader, 'assign', { partitions, from: 'earliest' }).ok({});
    for (const { name, start } of this.#logs) this.#positions.set(`${reader} ${name}`, start);
  }

  #poll(reader: number): void {
    const call = this.#recorder.invoke(reader, 'poll', {});
    if (this.#random.next() < 0.05) {
      call.info('TIMEOUT: after 30 s');
      return;
    }
    const moved = this.#random.next() < 0.1 ? [this.#pick(this.#logs)] : [];
    const polls: PollPart[] = [];
    for (const log of this.#logs) {
      polls.push(...this.#take(reader, log, 6));
      if (!moved.includes(log)) continue;
      this.#positions.set(`${reader} ${log.name}`, this.#anyPosition(log));
      polls.push(...this.#take(reader, log, 3));
    }
    call.ok({ polls, ...(moved.length > 0 && { rebalanced: moved.map(({ name }) => name) }) });
  }

  #readAll(log: Log): void {
    this.#recorder.invoke(finalReader, 'assign', { partitions: [log.name], from: 'earliest' }).ok({});
    this.#positions.set(`${finalReader} ${log.name}`, log.start);
    while ((this.#positions.get(`${finalReader} ${log.name}`) ?? 0) < log.committed.length) {
      this.#recorder.invoke(finalReader, 'poll', {}).ok({ polls: this.#take(finalReader, log, 20) });
    }
  }

  /** The next records of one partition, at most so many offsets. */
  #take(reader: number, { name, start, committed }: Log, offsetsMax: number): readonly PollPart[] {
    const position = Math.max(start, this.#positions.get(`${reader} ${name}`) ?? 0);
    const end = Math.min(committed.length, position + 1 + this.#below(offsetsMax));
    this.#positions.set(`${reader} ${name}`, Math.max(position, end));
    const records = committed.slice(position, end).flatMap((value, index) => {
      return value === undefined ? [] : [[position + index, value] as const];
    });
    return records.length === 0 ? [] : [{ partition: name, records }];
  }

  #anyPosition({ start, committed }: Log): number {
    return start + this.#below(committed.length - start + 1);
  }

  #waitingOf(producer: number, name: string): Batch[] {
    const key = `${producer} ${name}`;
    const waiting = this.#waiting.get(key) ?? [];
    this.#waiting.set(key, waiting);
    return waiting;
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[this.#below(items.length)] as Item;
  }

  #below(limit: number): number {
    return Math.floor(this.#random.next() * limit);
  }
}
