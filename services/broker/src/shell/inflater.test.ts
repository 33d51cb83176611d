import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BatchBuilder, codecId, defaultInflationLimits, inflateFrames, joinFrame, sealFrame } from '@fleetmq/record';
import { lz4, nodeCodecs } from '@fleetmq/record/codecs/node';
import { concatBytes, isDomainError, silentLogger } from '@fleetmq/shared';
import { nodeChecksum } from '@fleetmq/shared/runtime';
import { Inflater } from './inflater.ts';

const noCodecs = new Set<number>();
const noMax = 8 * 1024 * 1024;

/** A stored batch of so many records, compressed with lz4. */
function frameOf(baseOffset: number, records: number): Uint8Array {
  const builder = new BatchBuilder();
  for (let i = 0; i < records; i++) builder.append(undefined, new Uint8Array(100).fill(i));
  const { bytes } = builder.build({ codec: lz4 }, nodeChecksum);
  const batch = { bytes: new Uint8Array(bytes), recordCount: records };
  return joinFrame(sealFrame(batch, { baseOffset, leaderEpoch: 1, appendTimeMs: 1_700_000_000_000 }, nodeChecksum));
}

function start(waitingMax = 16): Inflater {
  return new Inflater({ limits: defaultInflationLimits, waitingMax, logger: silentLogger });
}

describe('inflater', () => {
  test('gives what inflateFrames gives, and leaves its input alone', async () => {
    await using inflater = start();
    const bytes = concatBytes([frameOf(0, 10), frameOf(10, 20), frameOf(30, 1)]);
    const before = new Uint8Array(bytes);
    const options = { accepted: noCodecs, checksum: nodeChecksum, codecs: nodeCodecs, limits: defaultInflationLimits };
    for (const answerBytesMax of [noMax, 1]) {
      const inflated = await inflater.inflate(bytes, noCodecs, answerBytesMax);
      const expected = inflateFrames(bytes, { ...options, answerBytesMax });
      assert.deepEqual(inflated.bytes, expected.bytes);
      assert.equal(inflated.frames, expected.frames);
    }
    assert.deepEqual(bytes, before);
    const taken = await inflater.inflate(bytes, new Set([codecId.lz4]), noMax);
    assert.deepEqual(taken.bytes, bytes);
  });

  test('what is refused is refused with the same error, and the next job runs', async () => {
    await using inflater = start();
    const damaged = frameOf(0, 5);
    damaged[20] = (damaged[20] as number) ^ 0xff;
    await assert.rejects(inflater.inflate(damaged, noCodecs, noMax), (error) => isDomainError(error));
    assert.equal((await inflater.inflate(frameOf(0, 5), noCodecs, noMax)).frames, 1);
  });

  test('the event loop turns meanwhile', async () => {
    await using inflater = start();
    await inflater.inflate(frameOf(0, 1), noCodecs, noMax);
    const bytes = concatBytes(Array.from({ length: 200 }, (_, i) => frameOf(i * 1_000, 1_000)));
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await inflater.inflate(bytes, noCodecs, 64 * 1024 * 1024);
    clearInterval(timer);
    assert.ok(turns > 3, `${turns} turns`);
  });

  test('more than may wait are told to come again, in order go the others', async () => {
    await using inflater = start(2);
    const done: number[] = [];
    const jobs = [0, 1, 2, 3].map((i) => inflater.inflate(frameOf(i, 3), noCodecs, noMax).then(() => done.push(i)));
    assert.equal(inflater.size, 3);
    const results = await Promise.allSettled(jobs);
    assert.deepEqual(done, [0, 1, 2]);
    const [refused] = results.filter((result) => result.status === 'rejected');
    assert.ok(isDomainError(refused?.reason) && refused.reason.code === 'LIMIT_EXCEEDED');
    assert.equal(refused.reason.retryAfterMs, 100);
  });

  test('closing fails what waits', async () => {
    const inflater = start();
    const jobs = [1, 2, 3].map((i) => inflater.inflate(frameOf(i, 3), noCodecs, noMax));
    const settled = Promise.allSettled(jobs);
    await inflater[Symbol.asyncDispose]();
    for (const result of await settled)
      assert.equal(result.status === 'rejected' && result.reason.code, 'SHUTTING_DOWN');
    await assert.rejects(inflater.inflate(frameOf(0, 1), noCodecs, noMax), /stopping/);
  });
});
