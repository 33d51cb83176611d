import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DomainError, toOffset } from '@fleetmq/shared';
import { Gate, Serial } from './gate.ts';
import { OpenSegments } from './open-segments.ts';
import { batch, epoch, openTestLog, recordsOf } from './testing/batches.ts';
import { MemoryDisk } from './testing/memory-disk.ts';

/** A promise and its key. */
function latch(): { readonly opened: Promise<void>; open: () => void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

test('a change waits for the readers inside, and later readers wait for the change', async () => {
  const gate = new Gate();
  const events: string[] = [];
  const reading = latch();
  const changing = latch();
  const first = gate.read(async () => {
    await reading.opened;
    events.push('first read');
  });
  const change = gate.change(async () => {
    events.push('change begins');
    await changing.opened;
    events.push('change ends');
  });
  const second = gate.read(async () => {
    events.push('second read');
  });
  await Promise.resolve();
  assert.deepEqual(events, []);
  reading.open();
  await first;
  changing.open();
  await Promise.all([change, second]);
  assert.deepEqual(events, ['first read', 'change begins', 'change ends', 'second read']);
  await assert.rejects(
    gate.change(() => Promise.reject(new Error('failed'))),
    /failed/,
  );
  assert.equal(await gate.read(async () => 'open again'), 'open again');
});

test('serial jobs do not overlap, and a failed one does not stop the next', async () => {
  const serial = new Serial();
  const events: number[] = [];
  const jobs = [1, 2, 3].map((number) =>
    serial.run(async () => {
      events.push(number);
      await Promise.resolve();
      events.push(-number);
      if (number === 2) throw new Error('two');
    }),
  );
  await Promise.allSettled(jobs);
  await assert.rejects(jobs[1]!, /two/);
  assert.deepEqual(events, [1, -1, 2, -2, 3, -3]);
});

test('reads beside appends, truncation and deletion see whole records of some moment, never damage', async () => {
  const config = {
    segmentBytes: 300,
    indexIntervalBytes: 80,
    checkpointBytes: 400,
    retentionMs: -1,
  };
  const log = await openTestLog(new MemoryDisk(), config, { openSegments: new OpenSegments(1) });
  let done = false;
  let reads = 0;
  const reader = async (seed: number): Promise<void> => {
    while (!done) {
      const span = log.endOffset - log.startOffset + 1;
      const from = toOffset(log.startOffset + ((seed * 7 + reads * 13) % span));
      try {
        const { bytes } = await log.read({ from, upTo: log.endOffset, maxBytes: 500 });
        const records = recordsOf(bytes).map((record) => record.split(':').map(Number));
        // Each value is the offset that it was given; offsets follow one another.
        records.forEach(([offset, value], i) => {
          assert.equal(offset, value);
          assert.ok(i === 0 || offset === records[i - 1]![0]! + 1);
        });
      } catch (error) {
        assert.equal((error as DomainError).code, 'OFFSET_OUT_OF_RANGE');
      }
      reads++;
    }
  };
  const readers = [1, 2, 3].map(reader);
  try {
    for (let round = 0; round < 60; round++) {
      for (let i = 0; i < 6; i++) {
        log.appendAsLeader(batch([`${log.endOffset}`]), { leaderEpoch: epoch(1 + round), appendTimeMs: round });
      }
      if (round % 3 === 0) await log.truncateTo(toOffset(Math.max(log.startOffset, log.endOffset - 4)));
      if (round % 5 === 0) await log.advanceStartOffset(toOffset(Math.max(log.startOffset, log.endOffset - 20)));
      await log.flush();
    }
  } finally {
    done = true;
  }
  await Promise.all(readers);
  assert.ok(reads > 100, `${reads} reads`);
  assert.equal(log.failure, undefined);
});
