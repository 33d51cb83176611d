/**
 * Judges a history of records by the names of Jepsen's kafka workload: docs/simulation.md has what each means, and what is exempt. A
 * pure function, n log n in the number of records, some 200 bytes of memory for each. It believes no answer further than the answer
 * promises: a send of unknown outcome may lie anywhere or nowhere.
 *
 * A run has to end with the faults over and every partition polled from its start to its end; otherwise what was not polled is
 * `unseen`.
 */

import { none } from './columns.ts';
import type { CheckContext } from './context.ts';
import { checkCycles } from './cycles.ts';
import type { Exemptions, RecordEvent, RecordKind } from './events.ts';
import { type Finding, type FindingCount, type FindingName, Findings } from './findings.ts';
import { type Lag, type Lags, measureLags } from './lag.ts';
import { type Certainty, Ledger } from './ledger.ts';
import { PartitionOrder } from './partition-order.ts';
import { checkPolls } from './polls.ts';
import { Rules } from './rules.ts';
import { checkSends } from './sends.ts';
import { checkValues } from './values.ts';

/** The exemptions are added to those that the history names. */
export interface RecordCheckOptions extends Exemptions {
  /** Kept with their evidence, of each name. Default 8. */
  readonly findingsMax?: number;
  /** How late a poll may be, counted from the moment at which all faults were over. Default: that is not judged. */
  readonly lagMaxMs?: number;
}

export interface RecordCounts {
  readonly partitions: number;
  readonly processes: number;
  /** Values, by what became of their sends. */
  readonly sent: number;
  readonly acknowledged: number;
  readonly failed: number;
  readonly unknown: number;
  /** Records that were handed over, by all polls. */
  readonly polled: number;
  /** Different values among them. */
  readonly distinct: number;
}

export interface RecordReport {
  readonly isGood: boolean;
  readonly counts: RecordCounts;
  readonly operations: Readonly<Record<RecordKind, Readonly<Record<Certainty, number>>>>;
  readonly anomalies: Readonly<Record<FindingName, FindingCount>>;
  /** Some of each name. */
  readonly findings: readonly Finding[];
  readonly lags: Lags;
}

/** INVALID_REQUEST when the events are no history: an answer to nothing, a value that is sent twice. */
export function checkRecords(history: Iterable<RecordEvent>, options: RecordCheckOptions = {}): RecordReport {
  const { findingsMax = 8, lagMaxMs = Number.POSITIVE_INFINITY } = options;
  const ledger = new Ledger();
  for (const event of history) ledger.add(event);
  const rules = new Rules(ledger, options);
  const findings = new Findings(findingsMax);
  const orders = ledger.partitions.map((partition) => new PartitionOrder(ledger, rules, partition));
  const context: CheckContext = { ledger, rules, findings, orders };
  checkValues(context);
  checkPolls(context);
  checkSends(context);
  checkCycles(context);
  const lags = measureLags(context);
  addLag(findings, lags.afterHealing, lagMaxMs);
  const anomalies = findings.counts();
  return {
    isGood: Object.values(anomalies).every(({ found }) => found === 0),
    counts: countRecords(ledger),
    operations: countOperations(ledger),
    anomalies,
    findings: findings.kept,
    lags,
  };
}

function addLag(findings: Findings, lag: Lag | undefined, lagMaxMs: number): void {
  if (lag === undefined || lag.lagMs <= lagMaxMs) return;
  const { lagMs, partition, process, offset, atMs } = lag;
  findings.add('worst-realtime-lag', false, () => ({
    text: `process ${process} stood at ${offset} of ${partition} for ${lagMs.toFixed(0)} ms after healing`,
    operations: [`the poll that began at ${atMs.toFixed(1)}`],
  }));
}

function countRecords(ledger: Ledger): RecordCounts {
  const { sent, values, operations, partitions, records } = ledger;
  const byCertainty = { ok: 0, fail: 0, info: 0, open: 0 };
  for (let row = 0; row < sent.length; row++) byCertainty[ledger.certaintyOf(values.sender.at(sent.at(row)))]++;
  const processes = new Set<number>();
  for (let operation = 0; operation < operations.process.length; operation++) {
    processes.add(operations.process.at(operation));
  }
  let distinct = 0;
  for (let value = 0; value < values.reader.length; value++) distinct += values.reader.at(value) === none ? 0 : 1;
  return {
    ...{ partitions: partitions.length, processes: processes.size, sent: sent.length },
    ...{ acknowledged: byCertainty.ok, failed: byCertainty.fail, unknown: byCertainty.info + byCertainty.open },
    ...{ polled: records.offset.length, distinct },
  };
}

function countOperations(ledger: Ledger): RecordReport['operations'] {
  const zero = (): Record<Certainty, number> => ({ ok: 0, fail: 0, info: 0, open: 0 });
  const counts = { send: zero(), poll: zero(), txn: zero(), assign: zero(), subscribe: zero() };
  for (let operation = 0; operation < ledger.operations.process.length; operation++) {
    counts[ledger.kindOf(operation)][ledger.certaintyOf(operation)]++;
  }
  return counts;
}
