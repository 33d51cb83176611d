import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { after, describe, test } from 'node:test';
import { BatchBuilder, joinFrame, sealFrame } from '@fleetmq/record';
import { nodeChecksum } from '@fleetmq/shared/runtime/checksum';
import { differenceOf, readStoredLog, recordsOfFrame } from './stored-frames.ts';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'fleetmq-stored-'));
after(() => fs.rmSync(root, { recursive: true }));
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A frame of two records. */
function frame(baseOffset: number, leaderEpoch = 1): Uint8Array {
  const builder = new BatchBuilder();
  for (const offset of [baseOffset, baseOffset + 1]) {
    const value = encoder.encode(`value ${offset}`);
    builder.append(undefined, value, undefined, 1);
  }
  const { recordCount } = builder;
  const batch = { bytes: builder.build({}, nodeChecksum).bytes, recordCount };
  return joinFrame(sealFrame(batch, { baseOffset, leaderEpoch, appendTimeMs: 1 }, nodeChecksum));
}

/** A log's folder: frames by the base offset of their segment. */
function logOf(name: string, segments: Readonly<Record<number, readonly Uint8Array[]>>): string {
  const folder = path.join(root, name);
  fs.mkdirSync(folder);
  for (const [base, frames] of Object.entries(segments)) {
    fs.writeFileSync(path.join(folder, `${base.padStart(20, '0')}.log`), Buffer.concat(frames));
  }
  return folder;
}

describe('stored frames', () => {
  const one = logOf('one', { 0: [frame(0), frame(2)], 4: [frame(4), frame(6)] });

  test('a range is read over segments, from inside of one', () => {
    const { frames, fault } = readStoredLog(one, { from: 2, end: 6 });
    assert.equal(fault, undefined);
    const records = frames.flatMap((each) => [...recordsOfFrame(each)]);
    assert.deepEqual(
      records.map(([offset, value]) => [offset, decoder.decode(value)]),
      [2, 3, 4, 5].map((offset) => [offset, `value ${offset}`]),
    );
  });

  test('segments that are closed at other places make no difference', () => {
    const other = logOf('other', { 0: [frame(0)], 2: [frame(2), frame(4)], 6: [frame(6)] });
    const range = { from: 0, end: 8 };
    assert.equal(differenceOf(new Map([one, other].map((each, id) => [id, readStoredLog(each, range)]))), undefined);
  });

  test('one byte does, a missing end does, and so does a torn frame', () => {
    const cases: readonly (readonly [string, readonly Uint8Array[], RegExp])[] = [
      ['epoch', [frame(0), frame(2, 2), frame(4), frame(6)], /broker 2 has a frame of .* at 2 to 3 of leader epoch 2/],
      ['short', [frame(0), frame(2), frame(4)], /on broker 2 is not whole: it ends at 6/],
      ['torn', [frame(0), frame(2), frame(4), frame(6).subarray(0, 40)], /on broker 2 is not whole: it ends at 6/],
      ['gap', [frame(0), frame(4)], /on broker 2 is not whole: offset 4 follows 2/],
    ];
    for (const [name, frames, expected] of cases) {
      const range = { from: 0, end: 8 };
      const logs = [one, logOf(name, { 0: frames })].map(
        (each, index) => [index + 1, readStoredLog(each, range)] as const,
      );
      assert.match(differenceOf(new Map(logs)) ?? 'no difference', expected, name);
    }
  });

  test('a folder that is not there holds nothing', () => {
    assert.deepEqual(readStoredLog(path.join(root, 'none'), { from: 0, end: 1 }), {
      frames: [],
      fault: 'it ends at 0',
    });
  });
});
