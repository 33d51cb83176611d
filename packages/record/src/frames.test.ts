import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DomainError, tableChecksum } from '@fleetmq/shared';
import fc from 'fast-check';
import {
  BatchBuilder,
  batchOfFrame,
  defaultBatchLimits,
  FrameCursor,
  frameSize,
  joinFrame,
  readTrailer,
  sealFrame,
  splitFrames,
  validateProduced,
} from './index.ts';

function frameOf(baseOffset: number, values: readonly string[], leaderEpoch = 1): Uint8Array {
  const builder = new BatchBuilder();
  for (const value of values) builder.append(undefined, new TextEncoder().encode(value));
  const batch = validateProduced(builder.build({}, tableChecksum).bytes, defaultBatchLimits, tableChecksum);
  return joinFrame(sealFrame(batch, { baseOffset, leaderEpoch, appendTimeMs: 1_700_000_000_000 }, tableChecksum));
}

test('each flip of a single bit or byte of a frame is detected', () => {
  const frame = frameOf(4242, ['a', 'bb']);
  for (let at = 0; at < frame.length; at++) {
    for (const mask of [1, 2, 4, 8, 16, 32, 64, 128, 255]) {
      const damaged = frame.slice();
      damaged[at]! ^= mask;
      assert.throws(() => batchOfFrame(damaged, tableChecksum), { code: 'CORRUPT_BATCH' }, `byte ${at}, mask ${mask}`);
    }
  }
});

test('each cut of a frame is seen as partial or bad, never as a frame', () => {
  const frame = frameOf(7, ['hello']);
  for (let length = 1; length < frame.length; length++) {
    assert.notEqual(new FrameCursor(frame.subarray(0, length)).next(), 'frame');
  }
  assert.equal(new FrameCursor(frame, 0, 0).next(), 'end');
});

test('the trailer holds what the leader wrote, at constant positions', () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 2 ** 53 - 100_002 }),
      fc.nat({ max: 2 ** 32 - 1 }),
      fc.nat({ max: 2 ** 52 }),
      fc.integer({ min: 1, max: 100_000 }),
      fc.nat({ max: 1000 }),
      (baseOffset, leaderEpoch, appendTimeMs, recordCount, gap) => {
        const bytes = new Uint8Array([0x3a, 0]);
        const lastOffsetDelta = recordCount - 1 + (baseOffset > 2 ** 50 ? 0 : gap);
        const batch = { bytes, recordCount, lastOffsetDelta };
        const sealed = sealFrame(batch, { baseOffset, leaderEpoch, appendTimeMs }, tableChecksum);
        assert.equal(sealed.body, bytes);
        assert.equal(sealed.byteLength, frameSize(bytes.length));
        const trailer = readTrailer(joinFrame(sealed));
        assert.equal(trailer.baseOffset, baseOffset);
        assert.equal(trailer.leaderEpoch, leaderEpoch);
        assert.equal(trailer.appendTimeMs, appendTimeMs);
        assert.equal(trailer.recordCount, recordCount);
        assert.equal(trailer.endOffset, baseOffset + lastOffsetDelta + 1);
      },
    ),
  );
});

test('frames behind each other split where they were joined', () => {
  const frames = [frameOf(0, ['a']), frameOf(1, ['b', 'c']), frameOf(3, ['d'.repeat(300)])];
  const joined = Uint8Array.from(frames.flatMap((frame) => [...frame]));
  assert.deepEqual(splitFrames(joined, tableChecksum), frames);
  assert.throws(() => splitFrames(joined.subarray(0, joined.length - 1), tableChecksum), { code: 'CORRUPT_BATCH' });
});

test('hostile lengths are refused without looking outside the range', () => {
  const cases: [readonly number[], string][] = [
    [[0x32], 'partial'],
    [[0x32, 0x80], 'partial'],
    [[0x32, 0xff, 0xff, 0xff, 0xff], 'bad'],
    [[0x32, 0xff, 0xff, 0xff, 0x7f], 'bad'],
    [[0x32, 0x80, 0x00], 'bad'],
    [[0x32, 0x05, 0, 0, 0, 0, 0], 'bad'],
    [[0x00, 0x00], 'bad'],
  ];
  for (const [bytes, status] of cases) assert.equal(new FrameCursor(Uint8Array.from(bytes)).next(), status, `${bytes}`);
  const error = assert.throws(
    () => readTrailer(new Uint8Array(10)),
    (e: DomainError) => e.code === 'CORRUPT_BATCH',
  );
  assert.equal(error, undefined);
});
