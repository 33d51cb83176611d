import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DomainError, type ErrorName, errorCatalogue, seededRandom } from '@fleetmq/shared';
import fc from 'fast-check';
import { finalError, InFlightWindow, type WindowEntry } from './window.ts';

const later = { retryAtMs: 10, isFinal: false };
const final = { retryAtMs: 10, isFinal: true };
const error = (code: ErrorName) => new DomainError(code, code.toLowerCase());

function started(maxInFlight = 5): InFlightWindow<string> {
  const window = new InFlightWindow<string>({ maxInFlight, idempotent: true });
  window.adopt({ producerId: 1n, producerEpoch: 0 });
  return window;
}

test('sequences count records, per partition, and wrap at 2^31', () => {
  const window = started();
  assert.equal(window.take('a', 10).baseSequence, 0);
  assert.equal(window.take('b', 2 ** 31 - 15).baseSequence, 10);
  assert.equal(window.take('c', 10).baseSequence, 2 ** 31 - 5);
  assert.equal(window.take('d', 1).baseSequence, 5);
});

test('the window is full at its bound, and takes nothing without an identity', () => {
  const window = new InFlightWindow<string>({ maxInFlight: 2, idempotent: true });
  assert.equal(window.canTake(), false);
  assert.equal(window.needsIdentity, true);
  window.adopt({ producerId: 1n, producerEpoch: 0 });
  const a = window.take('a', 1);
  window.take('b', 1);
  assert.equal(window.canTake(), false);
  window.succeed(a);
  assert.equal(window.canTake(), true);
  assert.throws(() => new InFlightWindow({ maxInFlight: 6, idempotent: true }), /expected 1 to 5/);
});

test('P15: nothing is sent five batches ahead of one that is not settled, for the broker would not know that one again', () => {
  const window = started();
  const entries = ['a', 'b', 'c', 'd', 'e'].map((name) => window.take(name, 1));
  for (const entry of entries.slice(1)) window.succeed(entry);
  assert.equal(window.size, 1);
  assert.equal(window.canTake(), false);
  window.succeed(entries[0] as Entry);
  assert.equal(window.canTake(), true);
});

test('while one waits nothing new goes out, and waiting ones go one by one from the front', () => {
  const window = started();
  const [a, b, c] = ['a', 'b', 'c'].map((name) => window.take(name, 1)) as [Entry, Entry, Entry];
  assert.deepEqual(window.fail(b, error('NOT_LEADER'), later), []);
  assert.equal(window.canTake(), false);
  assert.equal(window.dueRetry(10), undefined, 'a and c are under way');
  window.fail(a, error('NOT_LEADER'), later);
  window.fail(c, error('NOT_LEADER'), later);
  assert.equal(window.dueRetry(9), undefined);
  assert.equal(window.dueRetry(10), a);
  window.resend(a);
  assert.equal(window.dueRetry(10), undefined);
  window.succeed(a);
  assert.equal(window.dueRetry(10), b);
});

type Entry = WindowEntry<string>;

test('one that overtook its predecessor waits for it', () => {
  const window = started();
  const [a, b] = [window.take('a', 3), window.take('b', 3)];
  assert.deepEqual(window.fail(b, error('UNKNOWN_PRODUCER'), later), []);
  assert.equal(window.needsIdentity, false);
  window.succeed(a);
  assert.equal(window.dueRetry(10), b);
  assert.equal(b.baseSequence, 3);
});

test('a refusal of the last batch gives its sequence to the next', () => {
  const window = started();
  const a = window.take('a', 5);
  assert.deepEqual(
    window.fail(a, error('RECORD_TOO_LARGE'), later).map(({ entry }) => entry),
    [a],
  );
  assert.equal(window.take('b', 1).baseSequence, 0);
});

test('a refusal before others breaks the identity; they are renumbered once all have come back', () => {
  const window = started();
  const [a, b, c] = ['a', 'b', 'c'].map((name) => window.take(name, 2)) as [Entry, Entry, Entry];
  window.fail(a, error('RECORD_TOO_LARGE'), later);
  assert.equal(window.canTake(), false);
  assert.equal(window.needsIdentity, false, 'b and c are under way');
  window.fail(b, error('OUT_OF_ORDER_SEQUENCE'), later);
  window.fail(c, error('TIMEOUT'), later);
  assert.equal(window.needsIdentity, true);
  assert.equal(window.needsFreshIdentity, true);
  window.adopt({ producerId: 2n, producerEpoch: 0 });
  assert.deepEqual(
    [b, c].map(({ identity, baseSequence, outcomeUnknown }) => [identity?.producerId, baseSequence, outcomeUnknown]),
    [
      [2n, 0, false],
      [2n, 2, false],
    ],
  );
  assert.equal(window.dueRetry(10), b);
});

test('a batch that is given up with unknown outcome leaves the answer to the next one', () => {
  for (const wasWritten of [true, false]) {
    const window = started();
    const [a, b] = [window.take('a', 1), window.take('b', 1)];
    window.fail(b, error('TIMEOUT'), later);
    assert.deepEqual(
      window.fail(a, error('TIMEOUT'), final).map(({ entry }) => entry),
      [a],
    );
    const retry = window.dueRetry(10) as Entry;
    assert.equal(retry, b);
    window.resend(b);
    if (wasWritten) {
      window.succeed(b);
      assert.equal(window.take('c', 1).baseSequence, 2);
      continue;
    }
    // The broker misses a: so b was not written either, and may go out anew although its first attempt timed out.
    assert.deepEqual(window.fail(b, error('UNKNOWN_PRODUCER'), later), []);
    assert.equal(window.needsIdentity, true);
  }
});

test('after lost state only what was certainly not written goes on', () => {
  const window = started();
  window.succeed(window.take('x', 1));
  const [a, b, c] = ['a', 'b', 'c'].map((name) => window.take(name, 1)) as [Entry, Entry, Entry];
  window.fail(a, error('NOT_AVAILABLE'), later);
  window.fail(b, error('NOT_LEADER'), later);
  window.fail(c, error('TIMEOUT'), later);
  window.resend(a);
  const rejected = window.fail(a, error('UNKNOWN_PRODUCER'), later);
  assert.deepEqual(
    rejected.map(({ entry }) => entry.batch),
    ['a', 'c'],
  );
  assert.equal(finalError(a, (rejected[0] as { error: DomainError }).error).code, 'TIMEOUT');
  assert.deepEqual(
    window.entries.map(({ batch }) => batch),
    ['b'],
  );
  assert.equal(window.needsIdentity, true);
});

test('without idempotence there are no sequences, and retries still go one by one', () => {
  const window = new InFlightWindow<string>({ maxInFlight: 5, idempotent: false });
  const a = window.take('a', 1);
  assert.equal(a.identity, undefined);
  window.fail(a, error('TIMEOUT'), later);
  assert.equal(window.canTake(), false);
  window.resend(a);
  assert.deepEqual(
    window.fail(a, error('OUT_OF_ORDER_SEQUENCE'), later).map(({ entry }) => entry),
    [a],
  );
});

/** A broker's rules for one partition, with the table that KIP-98 asks for. */
class ModelLog {
  readonly records: number[] = [];
  readonly #producers = new Map<bigint, { next: number; recent: { sequence: number; count: number }[] }>();

  append(identity: bigint, sequence: number, values: readonly number[]): ErrorName | undefined {
    const state = this.#producers.get(identity);
    if (state?.recent.some((batch) => batch.sequence === sequence)) return undefined;
    if (state === undefined && sequence !== 0) return 'UNKNOWN_PRODUCER';
    if (state !== undefined && state.next !== sequence) return 'OUT_OF_ORDER_SEQUENCE';
    const known = state ?? { next: 0, recent: [] };
    known.next = sequence + values.length;
    known.recent.push({ sequence, count: values.length });
    if (known.recent.length > 5) known.recent.shift();
    this.#producers.set(identity, known);
    this.records.push(...values);
    return undefined;
  }
}

test('whatever is lost, late or refused: acknowledged records are in the log once and in order, refused ones are not', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: 60 }), (seed, size, faults) => {
      runModel(seed, size, faults / 100);
    }),
    { numRuns: 300 },
  );
});

/** Random runs: requests arrive in any order, are lost, answered late, or refused; batches run out of time. */
function runModel(seed: number, maxInFlight: number, faultRate: number): void {
  const random = seededRandom(seed);
  const window = new InFlightWindow<number[]>({ maxInFlight, idempotent: true });
  const log = new ModelLog();
  const acknowledged = new Set<number>();
  const refused = new Set<number>();
  const unknown = new Set<number>();
  const requests: { entry: WindowEntry<number[]>; identity: bigint; sequence: number }[] = [];
  let identity = 0n;
  let next = 0;
  const reject = (entry: WindowEntry<number[]>, failure: DomainError): void => {
    const told = finalError(entry, failure);
    for (const value of entry.batch) (told.code === 'TIMEOUT' ? unknown : refused).add(value);
  };
  const send = (entry: WindowEntry<number[]>): void => {
    requests.push({ entry, identity: entry.identity?.producerId as bigint, sequence: entry.baseSequence });
  };
  const step = (isCalm: boolean): void => {
    if (window.needsIdentity) window.adopt({ producerId: ++identity, producerEpoch: 0 });
    const retry = window.dueRetry(1000);
    if (retry !== undefined) {
      window.resend(retry);
      send(retry);
    }
    if (!isCalm && window.canTake() && random.next() < 0.7) {
      const batch = Array.from({ length: 1 + Math.floor(random.next() * 3) }, () => next++);
      send(window.take(batch, batch.length));
    }
    if (requests.length === 0) return;
    const [request] = requests.splice(Math.floor(random.next() * requests.length), 1) as [(typeof requests)[number]];
    const isFaulty = !isCalm && random.next() < faultRate;
    const kind = Math.floor(random.next() * 4);
    const isFinal = isFaulty && random.next() < 0.2;
    let failure: ErrorName | undefined;
    if (isFaulty && kind === 0) failure = 'NOT_ENOUGH_REPLICAS';
    else if (isFaulty && kind === 1) failure = 'RECORD_TOO_LARGE';
    else if (isFaulty && kind === 2) failure = 'TIMEOUT';
    else failure = log.append(request.identity, request.sequence, request.entry.batch);
    if (isFaulty && kind === 3 && failure === undefined) failure = 'NOT_AVAILABLE';
    if (failure === undefined) {
      window.succeed(request.entry);
      for (const value of request.entry.batch) acknowledged.add(value);
      return;
    }
    const told = new DomainError(failure, failure, { retriable: errorCatalogue[failure].retriable });
    for (const { entry, error: last } of window.fail(request.entry, told, { retryAtMs: 0, isFinal }))
      reject(entry, last);
  };
  for (let i = 0; i < 150; i++) step(false);
  for (let i = 0; i < 500 && window.size > 0; i++) step(true);
  assert.equal(window.size, 0, 'everything is settled once faults have ended');
  assert.deepEqual(
    log.records,
    log.records.toSorted((a, b) => a - b).filter((value, i, all) => value !== all[i - 1]),
  );
  for (const value of acknowledged) assert.ok(log.records.includes(value), `${value} is acknowledged and missing`);
  for (const value of refused) assert.ok(!log.records.includes(value), `${value} is refused and there`);
  assert.equal(acknowledged.size + refused.size + unknown.size, next);
}
