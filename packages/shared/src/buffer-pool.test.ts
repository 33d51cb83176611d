import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BufferPool, type Lease, poisonByte } from './buffer-pool.ts';

const kib = 1024;

function take(pool: BufferPool, length: number): Lease {
  const lease = pool.take(length);
  assert.ok(lease !== undefined, `${length} bytes are shared`);
  assert.equal(lease.bytes.length, length);
  return lease;
}

test('what was given back is lent again, also to a somewhat shorter use', () => {
  const pool = new BufferPool();
  const first = take(pool, 100 * kib);
  first.release();
  const second = take(pool, 97 * kib);
  assert.equal(second.bytes.buffer, first.bytes.buffer);
  assert.notEqual(take(pool, 100 * kib).bytes.buffer, first.bytes.buffer, 'it is lent to one at a time');
});

test('it comes back when the last user lets go, once', () => {
  const pool = new BufferPool();
  const lease = take(pool, 64 * kib);
  lease.retain();
  lease.release();
  assert.equal(pool.idleBytes, 0);
  lease.release();
  assert.equal(pool.idleBytes, 64 * kib);
  assert.throws(() => lease.release(), /given back twice/);
  assert.throws(() => lease.retain(), /used again/);
});

test('a lease is found by its bytes, and by nothing else', () => {
  const pool = new BufferPool();
  const lease = take(pool, 64 * kib);
  assert.equal(pool.leaseOf(lease.bytes), lease);
  assert.equal(pool.leaseOf(lease.bytes.subarray(0)), undefined);
  assert.equal(pool.leaseOf(new Uint8Array(64 * kib)), undefined);
});

test('idle bytes are bounded, and short and giant messages are not shared', () => {
  const pool = new BufferPool({ idleBytesMax: 150 * kib });
  const leases = [take(pool, 64 * kib), take(pool, 64 * kib), take(pool, 64 * kib)];
  for (const lease of leases) lease.release();
  assert.equal(pool.idleBytes, 128 * kib);
  assert.equal(pool.take(32 * kib - 1), undefined);
  assert.equal(pool.take(16 * kib * kib + 1), undefined);
});

test('buffers of sizes that are no longer used make room for those that are', () => {
  const pool = new BufferPool({ idleBytesMax: 256 * kib });
  const old = [64, 64, 96].map((length) => take(pool, length * kib));
  for (const lease of old) lease.release();
  const first = take(pool, 128 * kib);
  first.release();
  assert.equal(pool.idleBytes, (96 + 128) * kib, 'the longest unused size has gone, both of it');
  assert.equal(take(pool, 128 * kib).bytes.buffer, first.bytes.buffer);
  const tooLong = take(pool, 512 * kib);
  tooLong.release();
  assert.equal(pool.idleBytes, 96 * kib, 'what can never be kept drives nothing out');
});

test('buffers that are lent at the same time never share memory, and waste at most a fifth', () => {
  const sizes: number[] = [];
  const allocate = (length: number): Uint8Array => {
    sizes.push(length);
    return new Uint8Array(length);
  };
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 32 * kib, max: 300 * kib }), { minLength: 1, maxLength: 30 }), (lengths) => {
      const pool = new BufferPool({ allocate });
      const lent = new Map<ArrayBufferLike, Lease>();
      for (const [index, length] of lengths.entries()) {
        sizes.length = 0;
        const lease = take(pool, length);
        assert.ok((sizes[0] ?? length) <= length * 1.25);
        assert.equal(lent.has(lease.bytes.buffer), false);
        lent.set(lease.bytes.buffer, lease);
        if (index % 3 !== 2) continue;
        const [buffer, first] = lent.entries().next().value as [ArrayBufferLike, Lease];
        lent.delete(buffer);
        first.release();
      }
    }),
    { numRuns: 50 },
  );
});

test('a pool that poisons overwrites what comes back, whether it keeps it or not', () => {
  for (const idleBytesMax of [0, 256 * kib]) {
    const pool = new BufferPool({ idleBytesMax, poison: true });
    const lease = take(pool, 64 * kib);
    lease.bytes.fill(1);
    lease.retain();
    lease.release();
    assert.equal(lease.bytes[1000], 1);
    lease.release();
    assert.ok(lease.bytes.every((byte) => byte === poisonByte));
  }
});
