import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { FrameReader } from './frames.ts';
import { letGoOfChunk } from './received-memory.ts';

type Part =
  /** A DATA frame of a stream that lets go of its chunks. */
  | { readonly kind: 'own'; readonly length: number }
  /** One of a stream that may keep them. */
  | { readonly kind: 'other'; readonly length: number }
  /** A frame without data. */
  | { readonly kind: 'frame'; readonly length: number };

/** A slab as HTTP/2 fills it: what is left of a frame that began before, frames, and maybe the head of one more. */
function slabOf(first: number, parts: readonly Part[], tail: number): { buffer: ArrayBuffer; own: Uint8Array[] } {
  const length = parts.reduce((sum, part) => sum + 9 + part.length, first + tail);
  const buffer = new ArrayBuffer(length);
  const own: Uint8Array[] = [];
  let at = first;
  for (const part of parts) {
    at += 9;
    if (part.kind === 'own') own.push(new Uint8Array(buffer, at, part.length));
    at += part.length;
  }
  return { buffer, own };
}

async function isGivenBack({ buffer, own }: { buffer: ArrayBuffer; own: readonly Uint8Array[] }): Promise<boolean> {
  for (const chunk of own) letGoOfChunk?.(chunk);
  await nextTurn();
  return buffer.detached;
}

const part = fc.record({
  kind: fc.constantFrom<Part['kind']>('own', 'own', 'own', 'other', 'frame'),
  length: fc.nat(40).map((length) => length + 1),
});

describe('memory of received data', () => {
  test('a slab is given back when all that is in it was let go, in whatever order', async () => {
    const property = fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 8 }), fc.nat(), async (parts, turn) => {
      const own = parts.map((each) => ({ ...each, kind: 'own' as const }));
      const slab = slabOf(0, own, 0);
      const middle = turn % slab.own.length;
      const order = [...slab.own.slice(middle), ...slab.own.slice(0, middle)];
      assert.equal(await isGivenBack({ ...slab, own: order.slice(1) }), false);
      assert.equal(await isGivenBack({ ...slab, own: order.slice(0, 1) }), true);
    });
    await fc.assert(property);
  });

  test('a slab with data of others, with other frames, or with an unread rest is never given back', async () => {
    const property = fc.asyncProperty(
      fc.array(part, { minLength: 1, maxLength: 8 }),
      fc.nat(8),
      async (parts, tail) => {
        fc.pre(tail > 0 || parts.some(({ kind }) => kind !== 'own'));
        assert.equal(await isGivenBack(slabOf(0, parts, tail)), false);
      },
    );
    await fc.assert(property);
  });

  test('the rest of a frame that began in the slab before is data of somebody, the rest of its header is not', async () => {
    const parts = [{ kind: 'own', length: 100 }] as const;
    assert.equal(await isGivenBack(slabOf(1, parts, 0)), false);
    const buffer = new ArrayBuffer(104);
    assert.equal(await isGivenBack({ buffer, own: [new Uint8Array(buffer, 4)] }), true);
  });

  test('a reader lets go of chunks whose messages it has copied, and of no chunk that a message is a view of', () => {
    const message = (length: number): Buffer => {
      const frame = Buffer.alloc(5 + length, 1);
      frame[0] = 0;
      frame.writeUInt32BE(length, 1);
      return frame;
    };
    const bytes = Buffer.concat([message(10_000), message(3_000), message(3), message(20_000)]);
    const property = fc.property(fc.array(fc.nat(bytes.length), { maxLength: 20 }), (cuts) => {
      const places = [0, ...cuts.sort((left, right) => left - right), bytes.length];
      // Each chunk has memory of its own here, to tell by the message whose it is.
      const chunks = places.slice(1).map((end, index) => Uint8Array.from(bytes.subarray(places[index], end)));
      const letGo: Uint8Array[] = [];
      const inUse = new Set<ArrayBufferLike>();
      const reader = new FrameReader(100_000, {
        letGo: (chunk) => {
          letGo.push(chunk);
          chunk.fill(0xee);
        },
      });
      const lengths: number[] = [];
      for (const chunk of chunks) {
        reader.push(chunk, (read) => {
          lengths.push(read.length);
          inUse.add(read.buffer);
          assert.ok(read.every((byte) => byte === 1));
        });
      }
      assert.deepEqual(lengths, [10_000, 3_000, 3, 20_000]);
      assert.equal(new Set(letGo).size, letGo.length);
      for (const chunk of chunks) assert.equal(letGo.includes(chunk), !inUse.has(chunk.buffer));
    });
    fc.assert(property);
  });
});
