import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isDomainError, type TopicId, tableChecksum } from '@fleetmq/shared';
import fc from 'fast-check';
import { type CursorEntry, decodeCursor, encodeCursor } from './index.ts';

const entry: fc.Arbitrary<CursorEntry> = fc
  .tuple(fc.stringMatching(/^[0-9a-f]{32}$/), fc.nat(100_000), fc.maxSafeNat())
  .map(([topicId, partition, nextOffset]) => ({ topicId: topicId as TopicId, partition, nextOffset }));
const sorted = (entries: readonly CursorEntry[]): CursorEntry[] =>
  [...entries].sort((left, right) => (left.topicId < right.topicId ? -1 : left.topicId > right.topicId ? 1 : 0));

describe('cursor', () => {
  test('comes back with the same entries', () => {
    fc.assert(
      fc.property(fc.array(entry), (entries) => {
        const decoded = decodeCursor(encodeCursor(entries, tableChecksum), tableChecksum);
        assert.deepEqual(sorted(decoded), sorted(entries));
      }),
    );
  });

  test('is refused when any bit of it has changed, or anything is missing', () => {
    const cursor = encodeCursor([{ topicId: 'ab'.repeat(16) as TopicId, partition: 3, nextOffset: 77 }], tableChecksum);
    const refused = (bytes: Uint8Array): void => {
      assert.throws(() => decodeCursor(bytes, tableChecksum), { code: 'INVALID_REQUEST' });
    };
    for (let bit = 0; bit < cursor.length * 8; bit++) {
      const damaged = cursor.slice();
      damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
      refused(damaged);
    }
    for (let length = 0; length < cursor.length; length++) refused(cursor.subarray(0, length));
  });

  test('is refused when it lies under a right checksum', () => {
    const sealed = (...bytes: number[]): Uint8Array => {
      const body = Uint8Array.from(bytes);
      const cursor = new Uint8Array(body.length + 4);
      cursor.set(body);
      new DataView(cursor.buffer).setUint32(body.length, tableChecksum.crc32(body), true);
      return cursor;
    };
    const topicId = new Array<number>(16).fill(1);
    for (const lie of [
      sealed(1, 0), // another version
      sealed(2, 1), // a topic that is not there
      sealed(2, 1, ...topicId, 2, 0, 0), // a partition that is not there
      sealed(2, 1, ...topicId, 0xff, 0xff, 0xff, 0xff, 0x0f), // a count as an attack
      sealed(2, 0, 0), // something behind the end
    ]) {
      assert.throws(() => decodeCursor(lie, tableChecksum), { code: 'INVALID_REQUEST' });
    }
  });

  test('is an error of ours for any other bytes', () => {
    const sealed = (body: Uint8Array): Uint8Array => {
      const cursor = new Uint8Array(body.length + 5);
      cursor.set([2, ...body]);
      const end = cursor.length - 4;
      new DataView(cursor.buffer).setUint32(end, tableChecksum.crc32(cursor.subarray(0, end)), true);
      return cursor;
    };
    const bytes = fc.uint8Array({ maxLength: 60 });
    fc.assert(
      fc.property(fc.oneof(bytes, bytes.map(sealed)), (input) => {
        try {
          decodeCursor(input, tableChecksum);
        } catch (error) {
          assert.ok(isDomainError(error), `${error}`);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
