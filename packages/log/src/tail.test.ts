import assert from 'node:assert/strict';
import { test } from 'node:test';
import { joinFrame, sealFrame } from '@fleetmq/record';
import { tableChecksum } from '@fleetmq/shared';
import { isTornTail, sectorBytes } from './tail.ts';
import { batch } from './testing/batches.ts';

const frame = (baseOffset: number, value: string, leaderEpoch = 3): Uint8Array => {
  return joinFrame(sealFrame(batch([value]), { baseOffset, leaderEpoch, appendTimeMs: 5 }, tableChecksum));
};
const bytes = (...pieces: (Uint8Array | number)[]): Uint8Array => {
  return Uint8Array.from(
    pieces.flatMap((piece) => (typeof piece === 'number' ? new Array<number>(piece).fill(0) : [...piece])),
  );
};
const torn = (tail: Uint8Array, position = 1000, offset = 10, leaderEpoch = 3): boolean => {
  return isTornTail(tail, { position, offset, leaderEpoch }, tableChecksum);
};
const junk = (length: number): Uint8Array => new Uint8Array(length).fill(0x32);

test('what is a torn tail, and what is corruption', () => {
  const next = frame(10, 'x'.repeat(600));
  const cut = next.subarray(0, next.length - 1);
  const cases: [string, Uint8Array, boolean][] = [
    ['nothing but zeros', bytes(3000), true],
    ['a frame that is cut', cut, true],
    ['a frame that is cut, then zeros', bytes(cut, 700), true],
    ['junk', junk(2000), true],
    ['junk, then a frame that could follow', bytes(junk(600), frame(11, 'y')), false],
    ['a lost sector, then a frame that could follow', bytes(1100, frame(11, 'y')), true],
    ['junk, then a frame of an older epoch', bytes(junk(600), frame(11, 'y', 2)), true],
    ['junk, then a frame of an offset long past', bytes(junk(600), frame(9, 'y')), true],
    ['junk, then a frame of an offset that only a gap could lead to', bytes(junk(600), frame(9999, 'y')), false],
    ['less junk than a gap, then a frame of an offset that cannot be so near', bytes(junk(46), frame(9999, 'y')), true],
    ['a whole frame at the place itself, with a wrong offset', frame(12, 'z'), false],
    ['a whole old frame at the place itself', frame(3, 'z'), false],
  ];
  for (const [name, tail, expected] of cases) assert.equal(torn(tail), expected, name);
});

test('of the first sector only what lies behind the good frames can be lost', () => {
  const follows = frame(11, 'y');
  const inFirst = sectorBytes - (1000 % sectorBytes);
  assert.equal(torn(bytes(inFirst, junk(300), follows)), true);
  assert.equal(torn(bytes(inFirst - 1, junk(301), follows)), false);
  assert.equal(torn(bytes(junk(10), inFirst + sectorBytes - 11, junk(1), follows)), false);
  assert.equal(torn(bytes(junk(10), inFirst + sectorBytes - 10, junk(1), follows)), true);
});

test('a tail that was made to be slow is not cut', () => {
  // Thousands of heads that all claim the same trailer: each would be a checksum over the whole tail.
  const trailer = frame(11, 'y').subarray(-43);
  const heads: number[] = [];
  const total = 2 ** 16;
  for (let at = 0; at + 4 <= total; at += 4) {
    const length = total - at - 4 + trailer.length;
    heads.push(0x32, (length & 0x7f) | 0x80, ((length >> 7) & 0x7f) | 0x80, length >> 14);
  }
  const started = process.cpuUsage().user;
  assert.equal(torn(bytes(Uint8Array.from(heads), trailer)), false);
  assert.ok(process.cpuUsage().user - started < 5e6);
});
