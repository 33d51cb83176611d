/**
 * The format of `consume -f`: what kcat users know. `%t` topic, `%p` partition, `%o` offset, `%k` key, `%s` value, `%h` headers as
 * name=value with commas, `%T` time in milliseconds, `%S` and `%K` their sizes in bytes (-1: none), `%%` a percent sign;
 * `\n` `\t` `\r` `\0` `\\` as in C. Keys and values are written as their bytes.
 */
import type { ConsumedRecord } from '@fleetmq/client';
import { UsageError } from './parse.ts';

type Part = (record: ConsumedRecord<Uint8Array, Uint8Array>) => string | Uint8Array;

const fields: Readonly<Record<string, Part>> = {
  t: ({ topic }) => topic,
  p: ({ partition }) => `${partition}`,
  o: ({ offset }) => `${offset}`,
  k: ({ keyBytes }) => keyBytes ?? '',
  s: ({ valueBytes }) => valueBytes ?? '',
  h: ({ headers }) => headers.map(({ key, value }) => `${key}=${Buffer.from(value).toString('utf8')}`).join(','),
  T: ({ timestampMs }) => `${timestampMs}`,
  K: ({ keyBytes }) => `${keyBytes?.length ?? -1}`,
  S: ({ valueBytes }) => `${valueBytes?.length ?? -1}`,
  '%': () => '%',
};
const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '0': '\0', '\\': '\\' };

/** Compiles a format once; the result makes the bytes of one record. USAGE for an unknown letter. */
export function compileFormat(format: string): (record: ConsumedRecord<Uint8Array, Uint8Array>) => Uint8Array {
  const parts: Part[] = [];
  let text = '';
  for (let at = 0; at < format.length; at++) {
    const sign = format[at] as string;
    const letter = format[at + 1] ?? '';
    if (sign === '\\') {
      const escaped = escapes[letter];
      if (escaped === undefined) throw new UsageError(`"\\${letter}" in the format is unknown`);
      text += escaped;
      at++;
    } else if (sign === '%') {
      const part = fields[letter];
      if (part === undefined)
        throw new UsageError(`"%${letter}" in the format is unknown: expected ${Object.keys(fields).join(' ')}`);
      const before = text;
      parts.push(() => before, part);
      text = '';
      at++;
    } else {
      text += sign;
    }
  }
  const last = text;
  parts.push(() => last);
  return (record) => Buffer.concat(parts.map((part) => toBytes(part(record))));
}

function toBytes(piece: string | Uint8Array): Uint8Array {
  return typeof piece === 'string' ? Buffer.from(piece, 'utf8') : piece;
}
