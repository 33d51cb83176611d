import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DomainError, tableChecksum, toOffset } from '@fleetmq/shared';
import fc from 'fast-check';
import { defaultLogConfig } from './config.ts';
import { IdempotencyWindow } from './idempotency.ts';
import { decodeProducers, encodeProducers, ProducerMemory } from './producer-snapshot.ts';
import { type ProducedBatch, ProducerTable } from './producers.ts';
import { batch, contentOf, epoch, openTestLog } from './testing/batches.ts';
import { MemoryDisk } from './testing/memory-disk.ts';

const bounds = { producerIdsMax: 3, producerExpiryMs: 1000 };
const produced = (baseSequence: number, recordCount = 1, producerEpoch = 0, producerId = 9n): ProducedBatch => {
  return { producerId, producerEpoch, baseSequence, recordCount, attributes: 0 };
};

/** What the table says to a batch, in a word. */
function verdict(table: ProducerTable, batch: ProducedBatch, nowMs = 0): string {
  try {
    const first = table.check(batch, nowMs);
    return first === undefined ? 'new' : `duplicate of ${first.baseOffset}`;
  } catch (error) {
    return (error as DomainError).code;
  }
}

test('what a table says to each batch', () => {
  const table = new ProducerTable(bounds);
  const cases: [ProducedBatch, string][] = [
    [produced(1), 'UNKNOWN_PRODUCER'],
    [produced(0, 2), 'new'],
    [produced(0, 2), 'duplicate of 0'],
    [produced(0, 1), 'OUT_OF_ORDER_SEQUENCE'],
    [produced(1, 1), 'OUT_OF_ORDER_SEQUENCE'],
    [produced(3), 'OUT_OF_ORDER_SEQUENCE'],
    [produced(2, 3), 'new'],
    [produced(5), 'new'],
    [produced(6), 'new'],
    [produced(7), 'new'],
    [produced(0, 2), 'duplicate of 0'],
    [produced(8), 'new'],
    [produced(0, 2), 'OUT_OF_ORDER_SEQUENCE'],
    [produced(2, 3), 'duplicate of 10'],
    [produced(8, 1, 2), 'OUT_OF_ORDER_SEQUENCE'],
    [produced(0, 4, 2), 'new'],
    [produced(0, 4, 2), 'duplicate of 60'],
    [produced(8, 1, 0), 'PRODUCER_FENCED'],
    [produced(4, 1, 1), 'PRODUCER_FENCED'],
    [produced(4, 1, 2), 'new'],
  ];
  let offset = 0;
  for (const [batch, expected] of cases) {
    assert.equal(verdict(table, batch), expected, JSON.stringify({ ...batch, producerId: 0 }));
    if (expected !== 'new') continue;
    table.record(batch, offset, 0);
    offset += 10;
  }
});

test('sequences wrap at 2^31', () => {
  const table = new ProducerTable(bounds);
  table.record(produced(2 ** 31 - 2, 2), 0, 0);
  assert.equal(verdict(table, produced(0, 1)), 'new');
  table.record(produced(2 ** 31 - 1, 3), 10, 0);
  assert.equal(verdict(table, produced(2, 1)), 'new');
  assert.equal(verdict(table, produced(0, 1)), 'OUT_OF_ORDER_SEQUENCE');
});

test('ids expire by append time; a full table refuses new ids and keeps the old', () => {
  const table = new ProducerTable(bounds);
  for (const id of [1n, 2n, 3n]) table.record(produced(0, 1, 0, id), 0, 100);
  assert.equal(verdict(table, produced(0, 1, 0, 4n), 1100), 'LIMIT_EXCEEDED');
  assert.equal(verdict(table, produced(1, 1, 0, 1n), 1100), 'new');
  assert.equal(verdict(table, produced(0, 1, 0, 4n), 1101), 'new');
  assert.equal(verdict(table, produced(1, 1, 0, 1n), 1101), 'UNKNOWN_PRODUCER');
  table.record(produced(0, 1, 0, 4n), 7, 1101);
  assert.equal(table.size, 1);
});

test('an idempotency key: same content gets the first answer, other content is refused, the window ends', () => {
  const window = new IdempotencyWindow({ idempotencyWindowMs: 600, idempotencyKeysMax: 2 });
  const content = { crc: 5, recordCount: 2 };
  assert.equal(window.check('k', content, 0), undefined);
  window.record('k', { ...content, baseOffset: 3, appendTimeMs: 100 });
  assert.equal(window.check('k', content, 700)?.baseOffset, 3);
  assert.throws(() => window.check('k', { crc: 6, recordCount: 2 }, 700), { code: 'DUPLICATE_REQUEST' });
  assert.equal(window.check('k', { crc: 6, recordCount: 2 }, 701), undefined);
  window.record('l', { ...content, baseOffset: 5, appendTimeMs: 200 });
  assert.throws(() => window.check('m', content, 700), { code: 'LIMIT_EXCEEDED', retryAfterMs: 1 });
  window.record('m', { ...content, baseOffset: 9, appendTimeMs: 801 });
  assert.equal(window.size, 1);
  assert.equal(window.check('', content, 0), undefined);
});

test('a snapshot gives back what it was made of, and nothing when a byte differs', () => {
  const input = fc.record({
    producerId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    producerEpoch: fc.nat(3),
    baseSequence: fc.nat(2 ** 31 - 1),
    recordCount: fc.integer({ min: 1, max: 1000 }),
    attributes: fc.constantFrom(0, 1, 2),
    idempotencyKey: fc.constantFrom('', 'a', 'ü', 'some longer key'),
    crc: fc.nat(2 ** 32 - 1),
  });
  fc.assert(
    fc.property(fc.array(input, { maxLength: 30 }), fc.nat(), (inputs, flip) => {
      const memory = new ProducerMemory(defaultLogConfig);
      inputs.forEach((one, i) => {
        memory.note(one, i * 1000, i);
      });
      const bytes = encodeProducers(memory, toOffset(77), tableChecksum);
      const copy = new ProducerMemory(defaultLogConfig);
      assert.equal(decodeProducers(bytes, toOffset(77), copy, tableChecksum), true);
      assert.deepEqual([...copy.table.entries()], [...memory.table.entries()]);
      assert.deepEqual([...copy.keys.entries()], [...memory.keys.entries()]);
      assert.equal(decodeProducers(bytes, toOffset(78), copy, tableChecksum), false);
      bytes[flip % bytes.length]! ^= 1;
      assert.equal(decodeProducers(bytes, toOffset(77), copy, tableChecksum), false);
      assert.equal(copy.table.size + copy.keys.size, 0);
    }),
    { numRuns: 100 },
  );
});

const at = (appendTimeMs: number) => ({ leaderEpoch: epoch(1), appendTimeMs });

test('retries get the first answer, also after restart, truncation, deletion of the records, and on a follower', async () => {
  let disk = new MemoryDisk();
  const config = { segmentBytes: 200, retentionMs: -1 };
  let log = await openTestLog(disk, config);
  const first = batch(['a', 'b'], { producerId: 5n });
  const keyed = batch(['k'], { idempotencyKey: 'order-7' });
  log.appendAsLeader(first, at(10));
  log.appendAsLeader(keyed, at(11));
  const expected = { kind: 'duplicate', baseOffset: 0, endOffset: 2, appendTimeMs: 10 };
  const expectedKeyed = { kind: 'duplicate', baseOffset: 2, endOffset: 3, appendTimeMs: 11 };
  const check = (): void => {
    assert.deepEqual(log.appendAsLeader(first, at(50)), expected);
    assert.deepEqual(log.appendAsLeader(keyed, at(50)), expectedKeyed);
    assert.throws(() => log.appendAsLeader(batch(['z'], { idempotencyKey: 'order-7' }), at(50)), {
      code: 'DUPLICATE_REQUEST',
    });
  };
  check();
  for (let i = 0; i < 8; i++) log.appendAsLeader(batch([`${i}`], { producerId: 6n, baseSequence: i }), at(12));
  await log.flush();
  check();
  disk = disk.afterPowerLoss(() => false);
  log = await openTestLog(disk, config);
  check();
  await log.close();
  log = await openTestLog(disk, config);
  check();
  await log.truncateTo(toOffset(5));
  check();
  assert.equal(log.producerState(6n)?.batches.length, 2);
  for (let i = 2; i < 8; i++) log.appendAsLeader(batch([`${i}`], { producerId: 6n, baseSequence: i }), at(12));
  await log.advanceStartOffset(toOffset(11));
  assert.equal((await contentOf(log)).length, 0);
  check();
  log = await openTestLog(
    disk.afterPowerLoss(() => false),
    config,
  );
  check();
  assert.equal(log.endOffset, 11);
});

test('a snapshot above a truncation is not believed once the log has grown over it with other content', async () => {
  let disk = new MemoryDisk();
  let log = await openTestLog(disk);
  for (let i = 0; i < 10; i++) log.appendAsLeader(batch(['x'], { producerId: 1n, baseSequence: i }), at(1));
  await log.close();
  log = await openTestLog(disk);
  await log.truncateTo(toOffset(4));
  for (let i = 0; i < 9; i++) log.appendAsLeader(batch(['y'], { producerId: 2n, baseSequence: i }), at(2));
  await log.flush();
  disk = disk.afterPowerLoss(() => false);
  log = await openTestLog(disk);
  assert.equal(log.producerState(1n)?.batches.at(-1)?.baseSequence, 3);
  assert.equal(log.producerState(2n)?.batches.at(-1)?.baseSequence, 8);
});
