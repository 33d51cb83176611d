import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DomainError, type ErrorName, tableChecksum, WireWriter } from '@fleetmq/shared';
import fc from 'fast-check';
import { nodeCodecs } from './codecs/node.ts';
import { BatchBuilder, type BatchLimits, defaultBatchLimits, validateProduced } from './index.ts';

const text = new TextEncoder();
const record = (value: string): Uint8Array => new WireWriter().bytesField(2, text.encode(value)).finish().slice();

/** One field of a batch, so that fields can be put in any order. */
type Field = (writer: WireWriter) => void;
const varint =
  (number: number, value: number): Field =>
  (writer) =>
    writer.varint(number * 8).varint(value);
const bytes =
  (number: number, value: Uint8Array): Field =>
  (writer) =>
    writer.bytesField(number, value);
const records = (...values: string[]): Field[] => values.map((value) => bytes(7, record(value)));

function batchOf(...fields: Field[]): Uint8Array {
  const writer = new WireWriter();
  for (const field of fields) field(writer);
  return writer.finish().slice();
}

function crcOf(...values: string[]): number {
  return tableChecksum.crc32(batchOf(...records(...values)));
}

function refuses(code: ErrorName, pattern: RegExp, batch: Uint8Array, limits: Partial<BatchLimits> = {}): void {
  assert.throws(
    () => validateProduced(batch, { ...defaultBatchLimits, ...limits }, tableChecksum),
    (error: DomainError) => {
      assert.equal(error.code, code, error.message);
      assert.match(error.message, pattern);
      return true;
    },
  );
}

const compressed = nodeCodecs.get(1)!.compress(batchOf(...records('a', 'b')));

test('what a batch claims must be true, and what only a leader sets must be absent', () => {
  refuses('INVALID_REQUEST', /empty/, batchOf());
  refuses('INVALID_REQUEST', /empty/, batchOf(varint(1, 1)));
  refuses('INVALID_REQUEST', /empty/, batchOf(varint(2, 1), varint(10, 1), bytes(9, new Uint8Array(0))));
  refuses('UNSUPPORTED_VERSION', /magic 2/, batchOf(varint(1, 2), ...records('a')));
  refuses('UNSUPPORTED_CODEC', /type 4/, batchOf(varint(2, 4), varint(10, 2), bytes(9, compressed)));
  refuses('INVALID_REQUEST', /does not go with records/, batchOf(varint(2, 1), ...records('a')));
  refuses('INVALID_REQUEST', /does not go with compressed/, batchOf(varint(10, 2), bytes(9, compressed)));
  refuses('INVALID_REQUEST', /both/, batchOf(varint(2, 1), bytes(9, compressed), ...records('a')));
  refuses(
    'CORRUPT_BATCH',
    /more than once/,
    batchOf(varint(2, 1), varint(10, 2), bytes(9, compressed), bytes(9, compressed)),
  );
  refuses('INVALID_REQUEST', /record_count/, batchOf(varint(2, 1), bytes(9, compressed)));
  refuses('CORRUPT_BATCH', /record_count is 3/, batchOf(varint(10, 3), ...records('a', 'b')));
  refuses('CORRUPT_BATCH', /last_offset_delta is 2/, batchOf(varint(4, 2), ...records('a', 'b')));
  refuses(
    'CORRUPT_BATCH',
    /last_offset_delta is 2/,
    batchOf(varint(2, 1), varint(10, 2), varint(4, 2), bytes(9, compressed)),
  );
  refuses('CORRUPT_BATCH', /crc32/, batchOf(varint(8, 1), ...records('a')));
  refuses('CORRUPT_BATCH', /crc32/, batchOf(varint(8, crcOf('b', 'a')), ...records('a', 'b')));
  refuses('CORRUPT_BATCH', /crc32/, batchOf(varint(2, 1), varint(10, 2), varint(8, 5), bytes(9, compressed)));
  refuses(
    'INVALID_REQUEST',
    /leader/,
    batchOf((w) => w.varint(16 * 8 + 5).fixed32(0), ...records('a')),
  );
  refuses(
    'INVALID_REQUEST',
    /leader/,
    batchOf((w) => w.varint(17 * 8 + 1).fixed64(1n), ...records('a')),
  );
  refuses(
    'INVALID_REQUEST',
    /leader/,
    batchOf((w) => w.varint(18 * 8 + 5).fixed32(9), ...records('a')),
  );
  refuses('INVALID_REQUEST', /control/, batchOf(varint(14, 2), ...records('a')));
  refuses('INVALID_REQUEST', /control/, batchOf(varint(14, 3), varint(11, 1), ...records('a')));
  refuses('INVALID_REQUEST', /bits/, batchOf(varint(14, 4), ...records('a')));
  refuses('INVALID_REQUEST', /producer id/, batchOf(varint(14, 1), ...records('a')));
  refuses('INVALID_REQUEST', /base_sequence/, batchOf(varint(11, 1), varint(13, 2 ** 31), ...records('a')));
  refuses('INVALID_REQUEST', /idempotency_key/, batchOf(bytes(15, text.encode('ü'.repeat(129))), ...records('a')));
});

test('malformed bytes are refused, in the batch and in each record', () => {
  const inRecord = (writer: WireWriter): Uint8Array => batchOf(bytes(7, writer.finish().slice()));
  refuses('CORRUPT_BATCH', /malformed/, Uint8Array.of(0x3a, 5, 1));
  refuses('CORRUPT_BATCH', /wire type 3/, Uint8Array.of(0x0b));
  refuses('CORRUPT_BATCH', /malformed/, Uint8Array.of(0xa3, 0x06));
  refuses('CORRUPT_BATCH', /field number 0/, Uint8Array.of(0x00, 0x00));
  refuses('CORRUPT_BATCH', /wire type/, batchOf(varint(7, 1)));
  refuses('CORRUPT_BATCH', /wire type/, batchOf(bytes(3, new Uint8Array(1)), ...records('a')));
  refuses('CORRUPT_BATCH', /32 bits/, batchOf(varint(12, 2 ** 32), ...records('a')));
  refuses(
    'CORRUPT_BATCH',
    /2\^53/,
    batchOf((w) => w.varint(3 * 8).varint64(2n ** 60n), ...records('a')),
  );
  refuses('CORRUPT_BATCH', /UTF-8/, batchOf(bytes(15, Uint8Array.of(0xff)), ...records('a')));
  refuses(
    'CORRUPT_BATCH',
    /years/,
    batchOf(
      bytes(
        6,
        new WireWriter()
          .varint(8)
          .varint(2 ** 40)
          .finish(),
      ),
      ...records('a'),
    ),
  );
  refuses(
    'CORRUPT_BATCH',
    /too long|malformed/,
    batchOf(bytes(7, Uint8Array.of(0x0a, 9, 1)), ...records('aaaaaaaaaaaaaaaaaa')),
  );
  refuses('CORRUPT_BATCH', /tag 8/, inRecord(new WireWriter().varint(8).varint(1)));
  refuses('CORRUPT_BATCH', /offset_delta/, inRecord(new WireWriter().varint(56).varint(1)));
  refuses(
    'CORRUPT_BATCH',
    /years/,
    inRecord(new WireWriter().bytesField(4, Uint8Array.of(0x10, 0x80, 0x94, 0xeb, 0xdc, 0x03))),
  );
  refuses('CORRUPT_BATCH', /UTF-8/, inRecord(new WireWriter().bytesField(3, Uint8Array.of(0x0a, 1, 0xc3))));
  refuses('CORRUPT_BATCH', /wire type|malformed/, inRecord(new WireWriter().varint(9 * 8 + 3).varint(1)));
});

test('limits hold', () => {
  refuses('RECORD_TOO_LARGE', /bytes is over 10/, batchOf(...records('a', 'bb')), { batchBytesMax: 10 });
  refuses('RECORD_TOO_LARGE', /3 records is over 2/, batchOf(...records('a', 'b', 'c')), { recordsMax: 2 });
  refuses('RECORD_TOO_LARGE', /records is over/, batchOf(varint(2, 1), varint(10, 1_000_000), bytes(9, compressed)));
  const header = new WireWriter().bytesField(3, new Uint8Array(0)).bytesField(3, new Uint8Array(0)).finish();
  refuses('CORRUPT_BATCH', /more than 1 headers/, batchOf(bytes(7, header)), { headersMax: 1 });
  const unknown = Array.from({ length: 33 }, () => varint(99, 1));
  refuses('INVALID_REQUEST', /unknown/, batchOf(...unknown, ...records('a')));
});

test('any order of fields is accepted, and counts may be left out', () => {
  const header: Field[] = [
    varint(1, 1),
    varint(3, 123),
    varint(4, 2),
    varint(8, crcOf('x', 'y', 'z')),
    varint(10, 3),
    varint(11, 9),
    varint(12, 4),
    varint(13, 7),
    bytes(15, text.encode('key')),
    bytes(6, Uint8Array.of(0x08, 0x05)),
    varint(200, 1),
  ];
  const tagged = [
    ...header.map((field) => ({ field, record: -1 })),
    ...records('x', 'y', 'z').map((field, record) => ({ field, record })),
  ];
  fc.assert(
    fc.property(fc.shuffledSubarray(tagged, { minLength: tagged.length }), (shuffled) => {
      const inOrder = shuffled.filter((f) => f.record >= 0).map((f) => f.record);
      const byRecord = records('x', 'y', 'z');
      let next = 0;
      // The records keep their order among the shuffled fields; everything else may stand anywhere between them.
      const fields = shuffled.map((f) => (f.record >= 0 ? byRecord[next++]! : f.field));
      assert.equal(inOrder.length, 3);
      const batch = batchOf(...fields);
      const validated = validateProduced(batch, defaultBatchLimits, tableChecksum);
      assert.equal(validated.bytes, batch);
      assert.deepEqual(
        { ...validated, bytes: undefined },
        {
          bytes: undefined,
          recordCount: 3,
          codec: 0,
          maxTimestampMs: 5000,
          producerId: 9n,
          producerEpoch: 4,
          baseSequence: 7,
          attributes: 0,
          idempotencyKey: 'key',
          crc: crcOf('x', 'y', 'z'),
          bytesCrc: undefined,
        },
      );
    }),
    { numRuns: 200 },
  );
  const bare = validateProduced(batchOf(...records('only')), defaultBatchLimits, tableChecksum);
  assert.equal(bare.recordCount, 1);
  assert.equal(bare.crc, 0);
});

test('the CRC of a large batch follows from that of its records, wherever they lie in it', () => {
  const large = 'v'.repeat(20_000);
  const trailing = [varint(11, 9), varint(13, 7)];
  const plain = [varint(8, crcOf('a', large)), ...records('a', large)];
  for (const fields of [plain, [...plain, ...trailing], [...trailing, ...plain]]) {
    const batch = batchOf(...fields);
    assert.equal(validateProduced(batch, defaultBatchLimits, tableChecksum).bytesCrc, tableChecksum.crc32(batch));
  }
  const [first, second] = records('a', large) as [Field, Field];
  const scattered = batchOf(varint(8, crcOf('a', large)), first, varint(13, 7), second);
  assert.equal(validateProduced(scattered, defaultBatchLimits, tableChecksum).bytesCrc, undefined);
  const claimless = batchOf(...records('a', large));
  assert.equal(validateProduced(claimless, defaultBatchLimits, tableChecksum).bytesCrc, undefined);
});

test('random bytes are accepted or refused with a DomainError, never anything else', () => {
  const builder = new BatchBuilder();
  for (let i = 0; i < 5; i++)
    builder.append(text.encode(`k${i}`), text.encode('value'), [{ key: 'h', value: text.encode('v') }], i);
  const good = builder.build({ producerId: 5n, idempotencyKey: 'abc' }, tableChecksum);
  const mutate = fc.tuple(
    fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 }),
    fc.nat(good.length),
  );
  const attempt = (batch: Uint8Array): void => {
    try {
      validateProduced(batch, defaultBatchLimits, tableChecksum);
    } catch (error) {
      assert.equal((error as Error).name, 'DomainError', String(error));
    }
  };
  fc.assert(
    fc.property(mutate, ([edits, cut]) => {
      const bytes = good.slice(0, cut);
      for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
      attempt(bytes);
    }),
    { numRuns: 2000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), attempt), { numRuns: 2000 });
});
