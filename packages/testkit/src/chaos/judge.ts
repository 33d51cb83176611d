/** The verdict on a run: every check, in words, and the figures. A run in which nothing happened is not well. */
import { checkHistory, type HistoryReport } from '../check/check-history.ts';
import type { Operation } from '../check/history.ts';
import { expectedTopics, lostTopics } from '../check/lost-topics.ts';
import { type SettingOperation, settingModel } from '../check/settings.ts';
import { type TopicOperation, topicModel } from '../check/topics.ts';
import { checkVersions } from '../check/versions.ts';
import type { Convergence } from './convergence.ts';
import type { Findings } from './findings.ts';
import type { Terms } from './leaders.ts';
import type { Measures, Spread } from './measures.ts';

export interface Run {
  readonly seed: number;
  readonly controllers: number;
  readonly tookMs: number;
  readonly operations: readonly Operation[];
  /** Ids of the topics that were read at the end, by name. */
  readonly found: ReadonlyMap<string, string>;
  readonly convergence: Convergence;
  readonly measures: Measures;
  readonly terms: Terms;
  readonly findings: Findings;
}

export interface Verdict {
  readonly name: string;
  readonly isGood: boolean;
  /** Of what was checked, or what is wrong. */
  readonly text: string;
}

export interface Summary {
  readonly seed: number;
  readonly controllers: number;
  readonly seconds: number;
  readonly isGood: boolean;
  /** By kind: how many were ok, refused with an answer, failed, unknown. */
  readonly operations: Readonly<Record<string, OutcomeCounts>>;
  readonly faults: Readonly<Record<string, number>>;
  readonly counts: Readonly<Record<string, number>>;
  /** In ms: the longest time without an acknowledged change once the leader was hit. */
  readonly outagesMs: Readonly<Record<string, Spread>>;
  /** In ms, from the end of a fault to the next acknowledged change. */
  readonly recoveriesMs: Spread;
  readonly terms: number;
  readonly verdicts: readonly Verdict[];
}

export interface OutcomeCounts {
  ok: number;
  refused: number;
  fail: number;
  info: number;
}

export function judge(run: Run): Summary {
  const { seed, controllers, tookMs, operations, convergence, measures, terms, findings } = run;
  const expected = expectedTopics(topicsOf(operations));
  const faults = measures.faults();
  const fired = Object.values(faults).reduce((sum, count) => sum + count, 0);
  const verdicts: Verdict[] = [
    ...judgeHistory(operations),
    verdict(
      'zero topics lost',
      lostTopics(expected, run.found),
      `${expected.mustExist.size} must exist, of ${expected.created} acknowledged creations`,
    ),
    verdict('one leader per term', terms.findings, `${terms.count} terms with a leader`),
    verdict(
      'all controllers hold the same',
      convergence.finding === undefined ? [] : [convergence.finding],
      `${convergence.topics} topics at version ${convergence.version}, after ${convergence.tookMs.toFixed(0)} ms`,
    ),
    verdict('changes go on in time', measures.late, `${measures.recoveries().count} times after a fault had ended`),
    verdict('nothing else was found', findings.all, 'no unexpected end, nothing left behind'),
    verdict(
      'something happened',
      operations.length > 0 && fired > 0 ? [] : ['no operation, or no fault'],
      `${fired} faults`,
    ),
  ];
  return {
    seed,
    controllers,
    seconds: Math.round(tookMs / 1_000),
    isGood: verdicts.every(({ isGood }) => isGood),
    operations: countOutcomes(operations),
    faults,
    counts: Object.fromEntries(findings.counts()),
    outagesMs: measures.outages(),
    recoveriesMs: measures.recoveries(),
    terms: terms.count,
    verdicts,
  };
}

/** What can be said of a history alone, such as one that was kept. */
export function judgeHistory(operations: readonly Operation[]): readonly Verdict[] {
  const settings = operations.filter(({ kind }) => kind.endsWith('Setting')) as readonly SettingOperation[];
  const topics = topicsOf(operations);
  const nowMs = (): number => performance.now();
  return [
    linearizable('topics are linearizable', checkHistory(topicModel(topics), topics, { nowMs })),
    linearizable('settings are linearizable', checkHistory(settingModel(settings), settings, { nowMs })),
    verdict('versions never fall', checkVersions(operations), `${operations.length} operations`),
  ];
}

function topicsOf(operations: readonly Operation[]): readonly TopicOperation[] {
  return operations.filter(({ kind }) => !kind.endsWith('Setting')) as readonly TopicOperation[];
}

function linearizable(name: string, { keys, operations, steps, violations, gaveUp }: HistoryReport): Verdict {
  const wrong = [...violations, ...gaveUp.map((key) => `${key}: the search took too long`)];
  return verdict(name, wrong, `${operations} operations on ${keys} keys, ${steps} steps`);
}

function verdict(name: string, wrong: readonly string[], checked: string): Verdict {
  return { name, isGood: wrong.length === 0, text: wrong.length === 0 ? checked : wrong.join('\n') };
}

function countOutcomes(operations: readonly Operation[]): Readonly<Record<string, OutcomeCounts>> {
  const counts: Record<string, OutcomeCounts> = {};
  for (const { kind, outcome, output } of operations) {
    counts[kind] ??= { ok: 0, refused: 0, fail: 0, info: 0 };
    const isRefusal = typeof output === 'object' && output !== null && 'refused' in output;
    counts[kind][isRefusal ? 'refused' : outcome]++;
  }
  return Object.fromEntries(Object.entries(counts).sort(([left], [right]) => (left < right ? -1 : 1)));
}
