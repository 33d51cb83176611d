import assert from 'node:assert/strict';
import { test } from 'node:test';
import { murmur2, partitionOfKey } from './murmur2.ts';

test("hashes are those of Kafka's own unit tests", () => {
  const vectors: [string, number][] = [
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ];
  for (const [key, hash] of vectors) assert.equal(murmur2(new TextEncoder().encode(key)), hash, key);
});

test('partitions are never negative, and an empty key is a key', () => {
  const partitions = new Set<number>();
  for (let n = 0; n < 1000; n++) partitions.add(partitionOfKey(new TextEncoder().encode(`key-${n}`), 7));
  assert.deepEqual([...partitions].toSorted(), [0, 1, 2, 3, 4, 5, 6]);
  // 275646681 is murmur2 of no bytes.
  assert.equal(murmur2(new Uint8Array()), 275646681);
});
