/**
 * The NDJSON form of a record, the same for `produce --ndjson` and `consume -o ndjson`, so that one can be piped into the other.
 *
 *     {"key": ..., "value": ..., "headers": [["name", ...], ...], "partition": 0, "timestamp": 1700000000000}
 *
 * Keys, values and header values are texts where the bytes are UTF-8, else {"base64": "..."}; a null value is a tombstone, a
 * null or absent key is none. On the way in, any other JSON is sent as its own text, and headers may be an object.
 */
import type { ConsumedRecord, ProducerRecord } from '@fleetmq/client';
import { UsageError } from './parse.ts';

type Bytes = string | { readonly base64: string };

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

export function bytesToJson(bytes: Uint8Array): Bytes {
  try {
    return strict.decode(bytes);
  } catch {
    return { base64: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64') };
  }
}

export function bytesFromJson(value: unknown): Uint8Array {
  if (typeof value === 'string') return encoder.encode(value);
  if (isObject(value) && typeof value['base64'] === 'string' && Object.keys(value).length === 1) {
    return Buffer.from(value['base64'], 'base64');
  }
  return encoder.encode(JSON.stringify(value));
}

export function recordToJson(record: ConsumedRecord<Uint8Array, Uint8Array>): object {
  const { topic, partition, offset, timestampMs, key, value, headers } = record;
  return {
    topic,
    partition,
    offset,
    timestamp: timestampMs,
    key: key === null ? null : bytesToJson(key),
    value: value === null ? null : bytesToJson(value),
    ...(headers.length > 0 && { headers: headers.map((header) => [header.key, bytesToJson(header.value)]) }),
  };
}

/** The record of one line. USAGE when it is none. `offset` and `topic` of a consumed record are ignored. */
export function recordFromJson(line: string, topic: string): ProducerRecord<Uint8Array, Uint8Array> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch (error) {
    throw new UsageError(`"${cut(line)}" is no JSON: ${(error as Error).message}`);
  }
  if (!isObject(parsed) || parsed['value'] === undefined) {
    throw new UsageError(`"${cut(line)}" is no record: expected an object with a value`);
  }
  const { key, value, headers, partition, timestamp } = parsed;
  return {
    topic,
    value: value === null ? null : bytesFromJson(value),
    key: key === undefined || key === null ? null : bytesFromJson(key),
    headers: headers === undefined ? undefined : headersFromJson(headers),
    partition: partition === undefined ? undefined : wholeNumber('partition', partition),
    timestamp: timestamp === undefined ? undefined : wholeNumber('timestamp', timestamp),
  };
}

function headersFromJson(headers: unknown): [string, Uint8Array][] {
  const entries: unknown = isObject(headers) ? Object.entries(headers) : headers;
  if (!Array.isArray(entries)) throw new UsageError(`headers are ${cut(JSON.stringify(headers))}, expected pairs`);
  return entries.map((entry: unknown) => {
    if (!Array.isArray(entry) || entry.length !== 2 || typeof entry[0] !== 'string') {
      throw new UsageError(`header ${cut(JSON.stringify(entry))} is no pair of name and value`);
    }
    return [entry[0], bytesFromJson(entry[1])];
  });
}

function wholeNumber(what: string, value: unknown): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw new UsageError(`${what} is ${cut(JSON.stringify(value))}, expected a whole number of 0 or more`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function cut(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}
