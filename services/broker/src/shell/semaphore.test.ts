import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Semaphore } from './semaphore.ts';

/** Jobs that end when they are told to, and the order in which they began. */
function jobs(semaphore: Semaphore) {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const start = (name: string, owner?: object): Promise<void> =>
    semaphore.run(() => {
      begun.push(name);
      return new Promise<void>((resolve) => ends.set(name, resolve));
    }, owner);
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const end = async (name: string): Promise<void> => {
    ends.get(name)?.();
    await turn();
  };
  return { begun, start, end, turn };
}

test('jobs of one owner go in order, no more than there are permits at a time', async () => {
  const { begun, start, end, turn } = jobs(new Semaphore(2));
  const all = ['a', 'b', 'c', 'd'].map((name) => start(name));
  await turn();
  assert.deepEqual(begun, ['a', 'b']);
  await end('b');
  assert.deepEqual(begun, ['a', 'b', 'c']);
  for (const name of ['a', 'c', 'd']) await end(name);
  await Promise.all(all);
  assert.deepEqual(begun, ['a', 'b', 'c', 'd']);
});

test('owners take turns, however many jobs one of them has', async () => {
  const { begun, start, end, turn } = jobs(new Semaphore(1));
  const [greedy, good, other] = [{}, {}, {}];
  const all = ['1', '2', '3', '4'].map((name) => start(name, greedy));
  all.push(start('good', good), start('other', other));
  await turn();
  for (const name of ['1', '2', 'good', 'other', '3', '4']) await end(name);
  await Promise.all(all);
  assert.deepEqual(begun, ['1', '2', 'good', 'other', '3', '4']);
});

test('a permit that is lent goes to another job meanwhile, and comes back', async () => {
  const semaphore = new Semaphore(1);
  const { begun, start, end, turn } = jobs(semaphore);
  const part = Promise.withResolvers<void>();
  const events: string[] = [];
  const lending = semaphore.run(async () => {
    await semaphore.lend(() => part.promise);
    events.push('back');
  });
  const other = start('other');
  await turn();
  assert.deepEqual(begun, ['other']);
  part.resolve();
  await turn();
  assert.deepEqual(events, []);
  await end('other');
  await Promise.all([lending, other]);
  assert.deepEqual(events, ['back']);
});
