/**
 * Counters, gauges and histograms as plain numbers, printed in the Prometheus text format (version 0.0.4) when somebody
 * asks. The hot path bumps a field; nothing allocates, locks or looks up a label there: whoever counts keeps its series.
 * - Names begin with `fleetmq_` and end in their unit (`_seconds`, `_bytes`); `_total` is added to counters when printed.
 * - The number of series of a family is bounded. Past the bound all further label values share one series, `other`.
 * - Families are `summary` (few series, /metrics) or `detail` (per partition and the like, /metrics/detail).
 */
import { assert } from '@fleetmq/shared';

export interface FamilyOptions {
  readonly name: string;
  readonly help: string;
  /** Label names, in the order in which `series()` takes their values. Default none. */
  readonly labels?: readonly string[];
  /** Default 1000. */
  readonly seriesMax?: number;
  /** Only on /metrics/detail. Default false. */
  readonly detail?: boolean;
}

export interface HistogramOptions extends FamilyOptions {
  /** Upper bounds of the buckets, rising; `+Inf` is added. */
  readonly bounds: readonly number[];
}

/** One value read when it is printed. */
export interface Reading {
  readonly labels?: readonly string[];
  readonly value: number;
}

/** Latencies in seconds from 100 microseconds to 10 seconds. */
export const latencyBounds: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** Only rises. `value` may be bumped directly. */
export class Counter {
  value = 0;

  add(amount = 1): void {
    this.value += amount;
  }
}

/** Goes up and down. `value` may be set directly. */
export class Gauge {
  value = 0;
}

export class Histogram {
  readonly bounds: readonly number[];
  /** Observations per bucket, not cumulated; the last one is above every bound. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    let bucket = 0;
    while (bucket < this.bounds.length && value > (this.bounds[bucket] as number)) bucket++;
    (this.counts[bucket] as number)++;
    this.sum += value;
  }
}

/** All series of one name; `series()` is for set-up, its result for the hot path. */
export interface Family<Series> {
  /** The series of these label values, made at the first call. */
  series(...values: readonly string[]): Series;
  /** Forgets a series whose subject is gone. */
  drop(...values: readonly string[]): void;
}

export class MetricsRegistry {
  readonly #families = new Map<string, PrintedFamily>();

  counter(options: FamilyOptions): Counter {
    return this.counters(options).series();
  }

  counters(options: FamilyOptions): Family<Counter> {
    const printed = { ...options, name: `${options.name}_total` };
    return this.#add(printed, 'counter', new SeriesFamily(options, () => new Counter(), printValue));
  }

  gauge(options: FamilyOptions): Gauge {
    return this.gauges(options).series();
  }

  gauges(options: FamilyOptions): Family<Gauge> {
    return this.#add(options, 'gauge', new SeriesFamily(options, () => new Gauge(), printValue));
  }

  histogram(options: HistogramOptions): Histogram {
    return this.histograms(options).series();
  }

  histograms(options: HistogramOptions): Family<Histogram> {
    const rising = options.bounds.every((bound, i) => i === 0 || bound > (options.bounds[i - 1] as number));
    assert(options.bounds.length > 0 && rising, `the bounds of ${options.name} rise: ${options.bounds.join(', ')}`);
    return this.#add(
      options,
      'histogram',
      new SeriesFamily(options, () => new Histogram(options.bounds), printHistogram),
    );
  }

  /** A gauge whose values are read when somebody asks: nothing has to keep them up to date. */
  observed(options: FamilyOptions, read: () => number | readonly Reading[]): void {
    this.#observed(options, 'gauge', read);
  }

  /** Like `observed`, for a number that only rises and is counted elsewhere. */
  observedCounter(options: FamilyOptions, read: () => number | readonly Reading[]): void {
    this.#observed({ ...options, name: `${options.name}_total` }, 'counter', read);
  }

  /** The text of all summary families, or of all detail families. */
  print(part: 'summary' | 'detail' = 'summary'): string {
    const lines: string[] = [];
    for (const family of this.#families.values()) {
      if (family.detail !== (part === 'detail')) continue;
      lines.push(`# HELP ${family.name} ${escapeHelp(family.help)}`, `# TYPE ${family.name} ${family.type}`);
      for (const line of family.print(family.name)) lines.push(line);
    }
    return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
  }

  #observed(options: FamilyOptions, type: string, read: () => number | readonly Reading[]): void {
    const labels = options.labels ?? [];
    const seriesMax = options.seriesMax ?? 1000;
    this.#add(options, type, {
      *print(name) {
        const result = read();
        const readings = typeof result === 'number' ? [{ value: result }] : result.slice(0, seriesMax);
        for (const { labels: values = [], value } of readings)
          yield printLine(name, printLabels(labels, values), value);
      },
    });
  }

  #add<Printer extends { print(name: string): Iterable<string> }>(
    options: FamilyOptions,
    type: string,
    printer: Printer,
  ): Printer {
    const { name, help, detail = false } = options;
    assert(/^fleetmq_[a-z0-9_]*[a-z0-9]$/.test(name), `a metric's name begins with fleetmq_: ${name}`);
    assert(!this.#families.has(name), `the metric ${name} is there already`);
    this.#families.set(name, { name, help, type, detail, print: (printed) => printer.print(printed) });
    return printer;
  }
}

interface PrintedFamily {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly detail: boolean;
  print(name: string): Iterable<string>;
}

type PrintSeries<Series> = (name: string, labels: string, series: Series) => Iterable<string>;

class SeriesFamily<Series> implements Family<Series> {
  readonly #options: FamilyOptions;
  readonly #create: () => Series;
  readonly #printSeries: PrintSeries<Series>;
  readonly #series = new Map<string, Series>();

  constructor(options: FamilyOptions, create: () => Series, printSeries: PrintSeries<Series>) {
    this.#options = options;
    this.#create = create;
    this.#printSeries = printSeries;
  }

  series(...values: readonly string[]): Series {
    const key = this.#key(values);
    const found = this.#series.get(key);
    if (found !== undefined) return found;
    if (this.#series.size < (this.#options.seriesMax ?? 1000)) return this.#make(key);
    const other = this.#key(values.map(() => 'other'));
    return this.#series.get(other) ?? this.#make(other);
  }

  drop(...values: readonly string[]): void {
    this.#series.delete(this.#key(values));
  }

  *print(name: string): Iterable<string> {
    for (const [labels, series] of this.#series) yield* this.#printSeries(name, labels, series);
  }

  #key(values: readonly string[]): string {
    return printLabels(this.#options.labels ?? [], values);
  }

  #make(key: string): Series {
    const series = this.#create();
    this.#series.set(key, series);
    return series;
  }
}

function printValue(name: string, labels: string, { value }: { readonly value: number }): Iterable<string> {
  return [printLine(name, labels, value)];
}

function* printHistogram(name: string, labels: string, histogram: Histogram): Iterable<string> {
  let below = 0;
  for (let i = 0; i < histogram.counts.length; i++) {
    below += histogram.counts[i] as number;
    const bound = i < histogram.bounds.length ? String(histogram.bounds[i]) : '+Inf';
    const separator = labels === '' ? '' : ',';
    yield printLine(`${name}_bucket`, `${labels}${separator}le="${bound}"`, below);
  }
  yield printLine(`${name}_sum`, labels, histogram.sum);
  yield printLine(`${name}_count`, labels, below);
}

function printLine(name: string, labels: string, value: number): string {
  return `${name}${labels === '' ? '' : `{${labels}}`} ${printNumber(value)}`;
}

function printNumber(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}

function printLabels(names: readonly string[], values: readonly string[]): string {
  assert(names.length === values.length, `labels [${names.join(', ')}] got the values [${values.join(', ')}]`);
  return names.map((name, i) => `${name}="${escapeLabel(values[i] as string)}"`).join(',');
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function escapeHelp(help: string): string {
  return help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}
