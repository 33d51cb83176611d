/** The tables of the suite `peers` beside those of its sections: FleetMQ beside everybody, FleetMQ to its equals, promises. */
import type { PhaseName } from '../bench-case.ts';
import { formatCount, formatNumber, type Table } from '../page.ts';
import { formatProblem } from '../report.ts';
import { median } from '../statistics.ts';
import { type CaseSummary, ratioOf } from '../summary.ts';
import { oneNode, type System, threeNodes } from './systems.ts';
import { works } from './works.ts';

type Summaries = ReadonlyMap<string, CaseSummary>;

export function peerTables(cases: readonly CaseSummary[]): readonly Table[] {
  const byName = new Map(cases.map((each) => [each.name, each]));
  return [beside('one node', oneNode, 'bare-r1', byName), beside('three nodes', threeNodes, 'bare-r3', byName)]
    .filter(({ rows }) => rows.length > 0)
    .concat(equals(byName), promises(cases));
}

/** What FleetMQ does with its strictest promise, and everybody else with whatever promise: theirs is at most as strict. */
function beside(where: string, systems: readonly System[], bare: string, byName: Summaries): Table {
  const [ours, ...others] = systems as readonly [System, ...System[]];
  const columns = [{ name: bare, title: 'bare loop' }, ...others.filter(({ target }) => target !== ours.target)];
  const rows = works.flatMap(({ name, title, measure }) => {
    const own = byName.get(`${ours.name}-${name}`);
    if (own === undefined || own.problem !== undefined) return [];
    const rowOf = (head: string, cellOf: (theirs: CaseSummary | undefined) => string): string[] => [
      head,
      cellOf(own),
      ...columns.map((each) => cellOf(byName.get(`${each.name}-${name}`))),
    ];
    if (measure.kind === 'latency') {
      return (['p50', 'p99', 'p999'] as const).map((quantile) =>
        rowOf(`${heads[quantile]} of ${title}, ms`, (theirs) => latencyCell(own, theirs, quantile)),
      );
    }
    const rates = (['produce', 'consume'] as const).map((phase) =>
      rowOf(`${phase} ${title}, /s`, (theirs) => rateCell(own, theirs, phase)),
    );
    return [...rates, rowOf(`memory at ${title}, MB`, (theirs) => memoryCell(theirs))];
  });
  return {
    title: `FleetMQ, flushed before each ack, beside the others: ${where}`,
    columns: ['work', ours.title, ...columns.map(({ title }) => title)],
    rows,
    note: 'Rates are medians; in parentheses ours divided by theirs, the median of the rounds: more than 1 is faster. Latency from publish to receive over all records; in parentheses theirs divided by ours: more than 1 is quicker. Memory: the most of the largest broker (VmHWM) while it was written to and read from as fast as that went.',
  };
}

const heads = { p50: 'p50', p99: 'p99', p999: 'p99.9' } as const;

function rateCell(ours: CaseSummary, theirs: CaseSummary | undefined, phase: PhaseName): string {
  const rates = theirs?.phases[phase]?.perSecond ?? [];
  if (rates.length === 0) return '-';
  const ratio = ours === theirs ? undefined : ratioOf(ours.phases[phase]?.perSecond, rates);
  return `${formatCount(median(rates))}${ratio === undefined ? '' : ` (${ratio.median.toFixed(2)})`}`;
}

function latencyCell(ours: CaseSummary, theirs: CaseSummary | undefined, quantile: 'p50' | 'p99' | 'p999'): string {
  if (ours.latency === undefined || theirs?.latency === undefined) return '-';
  const ratio = ours === theirs ? '' : ` (${(theirs.latency[quantile] / ours.latency[quantile]).toFixed(2)})`;
  return `${formatNumber(theirs.latency[quantile])}${ratio}`;
}

function memoryCell(summary: CaseSummary | undefined): string {
  return summary?.peakMb === undefined ? '-' : formatCount(summary.peakMb);
}

/** FleetMQ to each peer that promises the same. */
function equals(byName: Summaries): Table {
  const rows = [...oneNode, ...threeNodes].flatMap(({ name, title, peerOf }) => {
    if (peerOf === undefined || !works.some((work) => byName.has(`${name}-${work.name}`))) return [];
    const cells = works.flatMap((work) => {
      const ours = byName.get(`${peerOf}-${work.name}`);
      const theirs = byName.get(`${name}-${work.name}`);
      if (work.measure.kind === 'latency') return [latencyRatio(ours, theirs)];
      return [rateRatio(ours, theirs, 'produce'), rateRatio(ours, theirs, 'consume')];
    });
    return [[`\`${peerOf}\``, `\`${name}\``, title, ...cells]];
  });
  const columns = works.flatMap(({ title, measure }) =>
    measure.kind === 'latency' ? [`p99 at ${title}`] : [`produce ${title}`, `consume ${title}`],
  );
  return {
    title: 'FleetMQ to those that promise the same',
    columns: ['ours', 'theirs', '', ...columns],
    rows,
    note: 'Rates: ours divided by theirs, median and the least and the most of the rounds; more than 1 is faster. p99: theirs divided by ours; more than 1 is quicker.',
  };
}

function rateRatio(ours: CaseSummary | undefined, theirs: CaseSummary | undefined, phase: PhaseName): string {
  const ratio = ratioOf(ours?.phases[phase]?.perSecond, theirs?.phases[phase]?.perSecond);
  if (ratio === undefined) return '-';
  const [middle, least, most] = [ratio.median, ratio.min, ratio.max].map((value) => value.toFixed(2));
  return `${middle} (${least} to ${most})`;
}

function latencyRatio(ours: CaseSummary | undefined, theirs: CaseSummary | undefined): string {
  if (ours?.latency === undefined || theirs?.latency === undefined) return '-';
  return (theirs.latency.p99 / ours.latency.p99).toFixed(2);
}

function promises(cases: readonly CaseSummary[]): Table {
  const rows = [...oneNode, ...threeNodes].flatMap(({ name, title, target, entrance }) => {
    const own = cases.filter((each) => each.target === target && each.entrance === entrance);
    const [first] = own;
    if (first === undefined) return [];
    const clients = [...new Set(own.flatMap(({ driver }) => driver ?? []))].join(', ');
    const isSkipped = first.problem?.kind === 'skipped';
    const known = isSkipped ? formatProblem(first.problem) : first.durability;
    return [[`\`${name}\``, title, first.version ?? '-', known ?? '-', clients === '' ? '-' : clients]];
  });
  return {
    title: 'What an acknowledgment is worth',
    columns: ['system', '', 'version', 'when it is given', 'client'],
    rows,
    note: 'Redis keeps all records in memory and reads them from there. Where a system has several clients, the one that was faster in the warm-up counts.',
  };
}
