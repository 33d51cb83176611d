import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isDomainError } from '@fleetmq/shared';
import fc from 'fast-check';
import { FrameReader, messageLength, writeFrame } from './frames.ts';
import { frame } from './lane-fixture.ts';

function readAll(chunks: readonly Uint8Array[], max = 1_000_000): Uint8Array[] {
  const reader = new FrameReader(max);
  const messages: Uint8Array[] = [];
  for (const chunk of chunks) reader.push(chunk, (message) => messages.push(message));
  reader.finish();
  return messages;
}

function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes.length === 0 ? bytes.length : (sizes[i % sizes.length] as number);
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}

const hasCode = (code: string) => (error: unknown) => isDomainError(error) && error.code === code;

test('messages survive any cutting of the byte stream', () => {
  const message = fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ minLength: 1_000, maxLength: 5_000 }));
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 3_000 }), { maxLength: 5 }),
      (messages, sizes) => {
        const stream = Buffer.concat(messages.map((bytes) => frame(bytes)));
        const read = readAll(cut(stream, sizes));
        assert.deepEqual(
          read.map((bytes) => Buffer.from(bytes)),
          messages.map((bytes) => Buffer.from(bytes)),
        );
      },
    ),
  );
});

test('a message in one chunk is not copied', () => {
  const chunk = frame(Buffer.from('hello'));
  const [message] = readAll([chunk]);
  assert.equal(message?.buffer, chunk.buffer);
});

test('a lying length prefix is refused before the message comes', () => {
  const reader = new FrameReader(100);
  const header = Buffer.from([0, 0xff, 0xff, 0xff, 0xff]);
  assert.throws(() => reader.push(header, () => assert.fail()), hasCode('REQUEST_TOO_LARGE'));
  assert.doesNotThrow(() => new FrameReader(100).push(frame(Buffer.alloc(100)), () => undefined));
});

test('compression, foreign flags and cut frames are refused', () => {
  const push = (bytes: Uint8Array) => () => new FrameReader(100).push(bytes, () => undefined);
  assert.throws(push(frame(Buffer.alloc(3), 1)), hasCode('UNKNOWN_ERROR'));
  assert.throws(push(frame(Buffer.alloc(3), 2)), hasCode('INVALID_REQUEST'));
  const whole = frame(Buffer.from('abc'));
  for (let length = 1; length < whole.length; length++) {
    assert.throws(() => readAll([whole.subarray(0, length)]), hasCode('INVALID_REQUEST'), `cut at ${length}`);
  }
});

/** Bytes of the heap that are in use, garbage not counted. */
function memoryInUse(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}

test('a drip of single bytes is gathered, not held byte by byte', () => {
  const message = Buffer.alloc(300_000, 7);
  const bytes = frame(message);
  const before = memoryInUse();
  const reader = new FrameReader(1_000_000);
  let got: Uint8Array | undefined;
  for (let i = 0; i < bytes.length - 1; i++) reader.push(bytes.subarray(i, i + 1), () => assert.fail());
  const heldBytes = memoryInUse() - before;
  // 300,000 views of one byte would be tens of megabytes.
  assert.ok(heldBytes < 5_000_000, `${heldBytes} bytes are held for a message of ${message.length}`);
  reader.push(message.subarray(0, 1), (whole) => {
    got = whole;
  });
  assert.deepEqual(Buffer.from(got as Uint8Array), message);
});

test('what is written is read again, whole or in pieces, small or large', async () => {
  const pieces = [Buffer.alloc(20_000, 1), Buffer.alloc(0), Buffer.alloc(3, 2)];
  const messages = [Buffer.from('small'), pieces, [], Buffer.alloc(9_000, 3), [Buffer.from('a'), Buffer.from('b')]];
  const stream = new PassThrough({ highWaterMark: 1_000_000 });
  for (const message of messages) writeFrame(stream, message);
  stream.end();
  const chunks = (await stream.toArray()) as Buffer[];
  const read = readAll(chunks);
  assert.deepEqual(
    read.map((bytes) => Buffer.from(bytes)),
    messages.map((message) => (Array.isArray(message) ? Buffer.concat(message) : message)),
  );
  assert.equal(messageLength(pieces), 20_003);
});
