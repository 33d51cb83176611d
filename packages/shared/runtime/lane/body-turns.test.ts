import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BodyTurns } from './body-turns.ts';

interface Body {
  readonly send: () => Promise<void>;
  readonly left: () => void;
}

function bodies(count: number): { readonly begun: number[]; readonly list: Body[] } {
  const begun: number[] = [];
  const list = Array.from({ length: count }, (_, number) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const send = (): Promise<void> => {
      begun.push(number);
      return promise;
    };
    return { send, left: resolve };
  });
  return { begun, list };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('turns of long bodies', () => {
  test('the first one is sent at once, each other one when the one before it has left', async () => {
    const turns = new BodyTurns();
    const { begun, list } = bodies(3);
    for (const { send } of list) turns.take(send);
    assert.deepEqual(begun, [0]);
    await settled();
    assert.deepEqual(begun, [0]);
    list[0]?.left();
    await settled();
    assert.deepEqual(begun, [0, 1]);
    list[1]?.left();
    list[2]?.left();
    await settled();
    assert.deepEqual(begun, [0, 1, 2]);
    const again = bodies(1);
    again.list[0]?.left();
    turns.take(again.list[0]?.send as Body['send']);
    assert.deepEqual(again.begun, [0]);
  });

  test('one that does not get through holds up the others for a moment only', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const turns = new BodyTurns();
    const { begun, list } = bodies(2);
    for (const { send } of list) turns.take(send);
    t.mock.timers.tick(99);
    await settled();
    assert.deepEqual(begun, [0]);
    t.mock.timers.tick(1);
    await settled();
    assert.deepEqual(begun, [0, 1]);
  });
});
