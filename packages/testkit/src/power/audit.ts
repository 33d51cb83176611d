/**
 * What must hold after every round, read from the disks once all replicas are in sync again:
 * - everything that was acknowledged before lies below the high watermark (as the leader gives it), at its offset;
 * - below it the logs of all replicas are the same, byte for byte;
 * - a producer's records lie in the order in which it sent them, each once;
 * - what a former round found there lies there still (`checkAll`, at the end).
 * A round reads what has come since the last one. Each finding names topic, partition, offset and round.
 */
import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Client, TopicDescription } from '@fleetmq/client/node';
import type { Findings } from '../chaos/findings.ts';
import type { Acknowledgments } from './acknowledgments.ts';
import type { PowerFleet } from './fleet.ts';
import { readValue } from './load.ts';
import { differenceOf, readStoredLog, recordsOfFrame, type StoredLog } from './stored-frames.ts';
import { type PartitionView, partitionName, topics } from './topics.ts';

export interface AuditOptions {
  readonly fleet: PowerFleet;
  readonly client: Client;
  readonly acknowledgments: Acknowledgments;
  readonly findings: Findings;
}

/** A replica that was just in sync may have fallen behind and be cut back at this very moment. */
const equalWithinMs = 20_000;

/** What the rounds have found of a partition. */
interface Known {
  /** By offset. */
  readonly values: string[];
  /** By producer: the number of its last value. */
  readonly lastNumbers: Map<string, number>;
}

interface Deviation {
  readonly offset: number;
  readonly text: string;
}

export class Audit {
  readonly #options: AuditOptions;
  readonly #known = new Map<string, Known>();
  /** Records that were found and compared. */
  records = 0;
  /** Bytes that were compared, of one replica. */
  bytes = 0;

  constructor(options: AuditOptions) {
    this.#options = options;
  }

  /** What has come since the last call. `where` names the round. */
  async check(where: string): Promise<void> {
    for (const { name } of topics) {
      const description = await this.#options.client.admin.describeTopic(name);
      for (const partition of description.topic.partitions) await this.#checkPartition(description, partition, where);
    }
  }

  /** Every byte from the start, once more. */
  async checkAll(where: string): Promise<void> {
    for (const { name } of topics) {
      const { topic } = await this.#options.client.admin.describeTopic(name);
      for (const { partition, replicas } of topic.partitions) {
        const place = partitionName(name, partition);
        const { values } = this.#knownOf(place);
        const range = { from: 0, end: values.length };
        const log = await this.#whenEqual(logFolder(topic.topicId, partition), replicas, range, `${place} ${where}`);
        const found = [...readAll(log)].findIndex(([offset, value]) => values[offset] !== value);
        if (found >= 0)
          this.#found(place, found, where, `lies ${values[found]} no more, which an earlier round found there`);
      }
    }
  }

  async #checkPartition({ topic }: TopicDescription, view: PartitionView, where: string): Promise<void> {
    const { client, acknowledgments } = this.#options;
    const { partition, replicas } = view;
    const place = partitionName(topic.name, partition);
    const known = this.#knownOf(place);
    const promisedEnd = acknowledgments.endOf(place);
    const [listing] = await client.admin.listOffsets([{ topic: topic.name, partition }], 'latest');
    const end = listing?.offset ?? 0;
    const mustReach = Math.max(promisedEnd, known.values.length);
    if (end < mustReach) {
      this.#found(
        place,
        end,
        where,
        `ends the committed log, but records up to ${mustReach - 1} were acknowledged or read`,
      );
      return;
    }
    const range = { from: known.values.length, end };
    const log = await this.#whenEqual(logFolder(topic.topicId, partition), replicas, range, `${place} ${where}`);
    for (const frame of log.frames) this.bytes += frame.bytes.length;
    const disordered = [...readAll(log)].flatMap(([offset, value]) => takeRecord(known, offset, value));
    this.records += known.values.length - range.from;
    const lost = acknowledgments.takeBelow(place, known.values.length).flatMap(([offset, value]) => {
      const stored = known.values[offset];
      return stored === value ? [] : { offset, text: `was acknowledged for ${value}, and holds ${stored}` };
    });
    for (const all of [disordered, lost]) this.#foundFirst(place, all, where);
  }

  /** The log of one replica, when all are the same; else what that one has, and a finding. */
  async #whenEqual(
    folder: string,
    replicas: readonly number[],
    range: { readonly from: number; readonly end: number },
    where: string,
  ): Promise<StoredLog> {
    const { fleet, findings } = this.#options;
    const deadlineMs = performance.now() + equalWithinMs;
    for (;;) {
      const logs = new Map(replicas.map((id) => [id, readStoredLog(path.join(fleet.diskFolder(id), folder), range)]));
      const difference = differenceOf(logs);
      const [log] = logs.values();
      if (difference === undefined) return log as StoredLog;
      if (performance.now() > deadlineMs) {
        findings.add(`${where}: below ${range.end} the replicas are not the same: ${difference}`);
        return log as StoredLog;
      }
      await delay(100);
    }
  }

  #knownOf(place: string): Known {
    const known = this.#known.get(place) ?? { values: [], lastNumbers: new Map() };
    this.#known.set(place, known);
    return known;
  }

  /** The lowest tells enough. */
  #foundFirst(place: string, all: readonly Deviation[], where: string): void {
    const [first] = all.toSorted((left, right) => left.offset - right.offset);
    if (first === undefined) return;
    const others = all.length === 1 ? '' : ` (and ${all.length - 1} more like this)`;
    this.#found(place, first.offset, where, first.text + others);
  }

  #found(place: string, offset: number, where: string, what: string): void {
    this.#options.findings.add(`${place} ${where}: offset ${offset} ${what}`);
  }
}

/** A record that follows what is known. */
function takeRecord({ values, lastNumbers }: Known, offset: number, value: string): readonly Deviation[] {
  const [producer = '', number] = value.split('-');
  const last = lastNumbers.get(producer) ?? -1;
  lastNumbers.set(producer, Math.max(last, Number(number)));
  values[offset] = value;
  if (Number(number) > last) return [];
  return [{ offset, text: `holds ${value} after ${producer}-${last}: twice, or out of order` }];
}

function* readAll({ frames }: StoredLog): Generator<readonly [offset: number, value: string]> {
  for (const frame of frames) for (const [offset, value] of recordsOfFrame(frame)) yield [offset, readValue(value)];
}

function logFolder(topicId: string, partition: number): string {
  return path.join('partitions', `${topicId}-${partition}`);
}
