/** What clients sent and read, and were told, as a history of records that the checker judges; with counts on the way. */

import type { DomainError } from '@fleetmq/shared';
import { checkRecords } from '../../check/records/check-records.ts';
import type { RecordEvent } from '../../check/records/events.ts';
import { RecordRecorder } from '../../check/records/recorder.ts';
import type { SimAcks } from './seed.ts';
import { type FleetWorld, topicName } from './world.ts';

/** Must not throw. */
export type OnAcknowledged = (partition: number, offset: number, acks: SimAcks) => void;

/** What a consumer hands over. */
export interface ReadBatch {
  readonly partition: number;
  readonly highWatermark: number;
  readonly records: readonly { readonly offset: number; readonly value: Uint8Array | null }[];
}

export interface SendCall {
  ok(offset: number): void;
  failed(error: DomainError): void;
}

export interface PollCall {
  ok(batch: ReadBatch): void;
  failed(error: DomainError): void;
  /** The reader was closed, or has all that it wanted. */
  ended(): void;
}

const decoder = new TextDecoder();

export class FleetHistory {
  readonly #world: FleetWorld;
  readonly #onAcknowledged: OnAcknowledged;
  readonly #events: RecordEvent[] = [];
  readonly #recorder: RecordRecorder;
  #processes = 0;

  constructor(world: FleetWorld, onAcknowledged: OnAcknowledged) {
    this.#world = world;
    this.#onAcknowledged = onAcknowledged;
    this.#recorder = new RecordRecorder({
      nowMs: () => world.scheduler.time.nowMs,
      write: (event) => this.#events.push(event),
    });
  }

  /** The number of one more process. */
  nextProcess(): number {
    return ++this.#processes;
  }

  sends(process: number, partition: number, value: string, acks: SimAcks): SendCall {
    const { counts, trace } = this.#world;
    const sends = [{ partition: nameOf(partition), values: [value] }];
    const call = this.#recorder.invoke(process, 'send', { sends, acks });
    return {
      ok: (offset) => {
        counts.add(`records acknowledged: ${acks}`);
        trace.note('acknowledged', [process, partition, offset]);
        this.#onAcknowledged(partition, offset, acks);
        // An offset that the leader alone has told binds nobody: an earlier attempt may be what is left (P1).
        call.ok({ offsets: [acks === 'leader' ? null : offset] });
      },
      failed: (error) => {
        counts.add(`records ${error.outcomeUnknown ? 'of unknown outcome' : 'failed'}: ${error.code}`);
        const text = `${error.code}: ${error.message}`;
        if (error.outcomeUnknown) call.info(text);
        else call.fail(text);
      },
    };
  }

  /** One more process that reads all partitions from the start of their logs. */
  reads(): { readonly polls: () => PollCall } {
    const process = this.nextProcess();
    const partitions = Array.from({ length: this.#world.seed.partitions }, (_, partition) => nameOf(partition));
    this.#recorder.invoke(process, 'assign', { partitions, from: 'earliest' }).ok({});
    const watermarks = new Map<number, number>();
    return { polls: () => this.#poll(process, watermarks) };
  }

  /** All faults are over. */
  healed(): void {
    this.#recorder.healed();
  }

  /** The verdict; `lost`: partitions of which no whole copy was left. */
  judge(lost: ReadonlySet<number>): void {
    const { counts, fail } = this.#world;
    const report = checkRecords(this.#events);
    const { sent, acknowledged, failed, unknown, polled, distinct } = report.counts;
    counts.add('history: sent', sent);
    counts.add('history: acknowledged', acknowledged);
    counts.add('history: failed', failed);
    counts.add('history: unknown', unknown);
    counts.add('history: polled', polled);
    counts.add('history: distinct', distinct);
    if (report.isGood || lost.size > 0) return;
    const names = Object.entries(report.anomalies).flatMap(([name, { found }]) =>
      found > 0 ? [`${found} ${name}`] : [],
    );
    fail(
      'safety',
      'the history of records is in order',
      `${names.join(', ')}: ${JSON.stringify(report.findings.slice(0, 4))}`,
    );
  }

  #poll(process: number, watermarks: Map<number, number>): PollCall {
    const { counts, trace, fail } = this.#world;
    const call = this.#recorder.invoke(process, 'poll', {});
    return {
      ok: ({ partition, highWatermark, records }) => {
        counts.add('records read', records.length);
        trace.note('read', [process, partition, records[0]?.offset ?? 0, records.length]);
        const seen = watermarks.get(partition) ?? 0;
        watermarks.set(partition, highWatermark);
        if (highWatermark < seen) {
          fail('safety', 'a client sees no watermark go back', `${nameOf(partition)}: ${highWatermark} after ${seen}`);
        }
        const read = records.map(({ offset, value }) => [offset, textOf(value)] as const);
        call.ok({ polls: [{ partition: nameOf(partition), records: read }] });
      },
      failed: (error) => call.fail(`${error.code}: ${error.message}`),
      ended: () => call.ok({ polls: [] }),
    };
  }
}

/** Without its padding. */
function textOf(value: Uint8Array | null): string {
  const text = decoder.decode(value ?? new Uint8Array(0));
  return text.slice(0, text.indexOf(' '));
}

function nameOf(partition: number): string {
  return `${topicName}/${partition}`;
}
