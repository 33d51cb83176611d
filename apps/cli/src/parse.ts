/**
 * The grammars of arguments: places in a log, times, counts, settings. Every parser throws `UsageError` with the value and what
 * was expected; nothing is taken half.
 *
 *     place   earliest | latest | <offset> | -<n> (n before the end) | @<time>
 *     end     end | <offset> | @<time>
 *     time    ISO 8601, milliseconds since 1970, or so long ago: -90s -15m -2h -7d
 */

/** The command line was wrong: exit code 2. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/** `{ back: n }`: n records before the end. */
export type Place = 'earliest' | 'latest' | number | Date | { readonly back: number };

export function parsePlace(text: string): Place {
  if (text === 'earliest' || text === 'latest') return text;
  if (/^-\d+$/.test(text)) return { back: parseCount(text.slice(1)) };
  if (text.startsWith('@')) return parseTime(text.slice(1));
  if (/^\d+$/.test(text)) return parseCount(text);
  throw new UsageError(`"${text}" is no place: expected earliest, latest, an offset, -<n> or @<time>`);
}

export function parseEnd(text: string): 'end' | number | Date {
  if (text === 'end') return text;
  if (text.startsWith('@')) return parseTime(text.slice(1));
  if (/^\d+$/.test(text)) return parseCount(text);
  throw new UsageError(`"${text}" is no end: expected end, an offset or @<time>`);
}

const unitMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export function parseTime(text: string, nowMs: number = Date.now()): Date {
  const ago = /^-(\d+)([smhd])$/.exec(text);
  const ms =
    ago !== null
      ? nowMs - Number(ago[1]) * (unitMs[ago[2] as string] as number)
      : /^\d{5,}$/.test(text)
        ? Number(text)
        : Date.parse(text);
  if (!Number.isFinite(ms)) {
    throw new UsageError(`"${text}" is no time: expected ISO 8601, milliseconds, or an age such as -15m`);
  }
  return new Date(ms);
}

/** A whole number of 0 or more. */
export function parseCount(text: string): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(count)) return count;
  throw new UsageError(`"${text}" is no whole number of 0 or more`);
}

/** A whole number of 1 or more. */
export function parsePositive(text: string): number {
  const count = parseCount(text);
  if (count >= 1) return count;
  throw new UsageError(`"${text}" is below 1`);
}

/** A duration in milliseconds: `500ms`, `30s`, `2m`, or a plain number of milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|[smhd])?$/.exec(text);
  const unit = match?.[2] ?? 'ms';
  const ms = Number(match?.[1]) * (unit === 'ms' ? 1 : (unitMs[unit] as number));
  if (match !== null && ms >= 1 && ms <= 2 ** 31 - 1) return ms;
  throw new UsageError(`"${text}" is no duration: expected such as 500ms, 30s or 2m`);
}

const byteUnits: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** Bytes: a plain number, or with a unit of 1024: `64k`, `10M`, `1.5GiB`. */
export function parseBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(?:([kmgt])(?:i?b)?)?$/i.exec(text);
  const bytes = Math.round(Number(match?.[1]) * (byteUnits[(match?.[2] ?? '').toLowerCase()] as number));
  if (match !== null && bytes >= 1 && Number.isSafeInteger(bytes)) return bytes;
  throw new UsageError(`"${text}" is no count of bytes: expected such as 65536, 64k, 10M or 1GiB`);
}

/** For options that may be given more than once: `name=value`. */
export function collectPair(text: string, pairs: readonly (readonly [string, string])[] = []): [string, string][] {
  const at = text.indexOf('=');
  if (at < 1) throw new UsageError(`"${text}" is not of the form name=value`);
  return [...pairs.map(([name, value]): [string, string] => [name, value]), [text.slice(0, at), text.slice(at + 1)]];
}

/** For options that may be given more than once: a name. */
export function collectName(text: string, names: readonly string[] = []): string[] {
  return [...names, text];
}

/** Partition numbers: `0`, `0,3`, `0-5`; the option may be given more than once. */
export function collectPartitions(text: string, before: readonly number[] = []): number[] {
  const partitions = new Set(before);
  for (const part of text.split(',')) {
    const range = /^(\d+)(?:-(\d+))?$/.exec(part.trim());
    const first = Number(range?.[1]);
    const last = Number(range?.[2] ?? first);
    if (range === null || last < first || last - first >= 100_000) {
      throw new UsageError(`"${part}" is no partition: expected a number or a range such as 0-5`);
    }
    for (let partition = first; partition <= last; partition++) partitions.add(partition);
  }
  return [...partitions];
}

/** Broker ids in an order: `4,5,6`. */
export function parseBrokers(text: string): number[] {
  const brokers = text.split(',').map((part) => parsePositive(part.trim()));
  if (new Set(brokers).size === brokers.length) return brokers;
  throw new UsageError(`"${text}" names a broker twice`);
}

/** `none`, `leader`, `majority`, `all`, or a count of replicas. */
export function parseAcks(text: string): 'none' | 'leader' | 'majority' | 'all' | number {
  if (text === 'none' || text === 'leader' || text === 'majority' || text === 'all') return text;
  if (/^\d+$/.test(text)) return parsePositive(text);
  throw new UsageError(`"${text}" is no level of acks: expected none, leader, majority, all or a count`);
}

/** `host:port`, IPv6 in brackets. */
export function parseAddress(text: string): { readonly host: string; readonly port: number } {
  const match = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match !== null && port >= 1 && port <= 65_535) {
    return { host: (match[1] as string).replace(/^\[|\]$/g, ''), port };
  }
  throw new UsageError(`"${text}" is no address: expected host:port`);
}
