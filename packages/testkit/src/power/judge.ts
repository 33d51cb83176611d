/** The verdict on a run: what the rounds found on the disks, what clients were told in its whole history, and the figures. */

import type { Findings } from '../chaos/findings.ts';
import type { Verdict } from '../chaos/judge.ts';
import { type Spread, spreadOf } from '../chaos/measures.ts';
import { checkRecords, type RecordCounts } from '../check/records/check-records.ts';
import { readRecordFile } from '../check/records/record-file.ts';
import type { BrokerLogs } from './broker-logs.ts';
import { type Blow, kindOf, type Round } from './rounds.ts';

/** A round that was seen to its end, or as far as it came. */
export interface RoundResult {
  readonly round: Round;
  /** In ms, from the moment at which all processes were ready. Undefined: not in time. */
  readonly writableMs: number | undefined;
  readonly wholeMs: number | undefined;
  readonly tookMs: number;
}

export interface PowerSummary {
  readonly seed: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly isGood: boolean;
  /** How many blows were of this sort, and how many rounds had two. */
  readonly cuts: Readonly<Record<string, number>>;
  /** What brokers said of their logs, and what else was counted. */
  readonly counts: Readonly<Record<string, number>>;
  readonly records: RecordCounts;
  /** Compared on the disks. */
  readonly compared: { readonly records: number; readonly bytes: number };
  /** In ms: from the last process being ready. */
  readonly writableMs: Spread;
  readonly wholeMs: Spread;
  readonly roundMs: Spread;
  readonly verdicts: readonly Verdict[];
}

export interface PowerRun {
  readonly seed: number;
  readonly wantedRounds: number;
  /** Longest start of a broker. */
  readonly startMaxMs: number;
  readonly rounds: readonly RoundResult[];
  readonly tookMs: number;
  readonly compared: { readonly records: number; readonly bytes: number };
  readonly logs: BrokerLogs;
  readonly findings: Findings;
  readonly historyFile: string;
}

/** P25: each partition takes writes within 10 s after the faults; a machine that starts processes slowly is slow then, too. */
const writableWithinMs = 10_000;

export function judge(run: PowerRun): PowerSummary {
  const { seed, rounds, wantedRounds, tookMs, compared, logs, findings, historyFile } = run;
  const boundMs = writableWithinMs + run.startMaxMs;
  const report = checkRecords(readRecordFile(historyFile));
  const anomalies = report.findings.map(({ name, text, operations }) =>
    [`${name}: ${text}`, ...operations].join('\n    '),
  );
  const writable = rounds.flatMap(({ writableMs }) => writableMs ?? []);
  const late = writable.filter((each) => each > boundMs);
  const { counts } = report;
  const verdicts: Verdict[] = [
    verdict(
      'disks and promises agree',
      findings.all,
      `${compared.records} records, ${compared.bytes} bytes, on all replicas`,
    ),
    verdict('what clients were told agrees', anomalies, `${counts.acknowledged} acknowledged, ${counts.polled} polled`),
    verdict('nothing durable was damaged', logs.damage, 'by what the brokers say'),
    verdict(
      'writes go on in time',
      late.map((each) => `${each.toFixed(0)} ms until every partition took writes: more than ${boundMs.toFixed(0)} ms`),
      `${writable.length} times`,
    ),
    verdict(
      'something happened',
      rounds.length > 0 && counts.acknowledged > 0 ? [] : ['no round, or no record'],
      `${rounds.length} of ${wantedRounds} rounds`,
    ),
  ];
  return {
    ...{ seed, compared, verdicts },
    rounds: rounds.length,
    seconds: Math.round(tookMs / 1_000),
    isGood: verdicts.every(({ isGood }) => isGood),
    cuts: countCuts(rounds),
    counts: { ...logs.counts, ...Object.fromEntries(findings.counts()) },
    records: counts,
    writableMs: spreadOf(writable),
    wholeMs: spreadOf(rounds.flatMap(({ wholeMs }) => wholeMs ?? [])),
    roundMs: spreadOf(rounds.map((round) => round.tookMs)),
  };
}

function verdict(name: string, wrong: readonly string[], checked: string): Verdict {
  return { name, isGood: wrong.length === 0, text: wrong.length === 0 ? checked : wrong.join('\n') };
}

function countCuts(rounds: readonly RoundResult[]): Readonly<Record<string, number>> {
  const blows = rounds.flatMap(({ round }) => round.blows);
  const count = (matches: (blow: Blow) => boolean): number => blows.filter(matches).length;
  return {
    'one broker': count((blow) => kindOf(blow) === 'one'),
    'two brokers': count((blow) => kindOf(blow) === 'two'),
    'all brokers': count((blow) => kindOf(blow) === 'all'),
    'in silence': count(({ isSilent }) => isSilent),
    'again, before all were in sync': rounds.filter(({ round }) => round.blows.length > 1).length,
    'again, before all were back': rounds.filter(({ round }) => round.isOverlapping).length,
  };
}
