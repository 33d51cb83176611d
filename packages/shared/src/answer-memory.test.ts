import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { AnswerMemory } from './answer-memory.ts';

const kibibyte = 1024;
const bytesMax = 1024 * kibibyte;
const patienceMs = 1_000;

function start() {
  let nowMs = 0;
  const memory = new AnswerMemory({ bytesMax, patienceMs, clock: { monotonicMs: () => nowMs } });
  const wait = (ms: number): void => {
    nowMs += ms;
  };
  return { memory, wait };
}

describe('memory of answers', () => {
  test('who takes nothing leaves a reserve to those who take what they get', () => {
    const { memory } = start();
    const [greedy, good] = [{}, {}];
    for (let room = memory.roomFor(greedy); room > 0; room = memory.roomFor(greedy)) {
      memory.hold(Math.min(room, 64 * kibibyte), greedy);
    }
    assert.equal(memory.bytes, (bytesMax * 3) / 4);
    assert.equal(memory.hold(64 * kibibyte, greedy), undefined);
    assert.equal(memory.roomFor(good), 128 * kibibyte);
    memory.hold(64 * kibibyte, good)?.release();
    assert.equal(memory.roomFor(good), 128 * kibibyte);
    assert.equal(memory.hold(129 * kibibyte, {}), undefined, 'the reserve is for small answers');
  });

  test('the oldest answers are given up when little is free, and none that is young', () => {
    const { memory, wait } = start();
    const givenUp: number[] = [];
    for (let i = 0; i < 5; i++) {
      memory.hold(150 * kibibyte, {})?.watch(() => givenUp.push(i));
      wait(400);
    }
    // They have waited for 2000, 1600, 1200, 800 and 400 ms; half is free again without the first two.
    memory.roomFor({});
    assert.deepEqual(givenUp, [0, 1]);
    assert.equal(memory.bytes, 450 * kibibyte);
    assert.equal(memory.givenUp, 2);
  });

  test('nothing is given up while half is free; what nobody can end stays', () => {
    const { memory, wait } = start();
    memory.hold(400 * kibibyte, {})?.watch(() => assert.fail('half is free'));
    wait(patienceMs * 10);
    memory.roomFor({});
    memory.hold(360 * kibibyte, {});
    const nobodys = memory.hold(128 * kibibyte, {});
    assert.equal(memory.bytes, 888 * kibibyte);
    nobodys?.release();
    assert.equal(memory.bytes, 760 * kibibyte);
  });

  test('an answer that turns out longer is refused when there is no room for that, and the only one never', () => {
    const { memory } = start();
    const only = memory.hold(1, {});
    assert.equal(only?.resize(bytesMax * 2), true);
    assert.equal(memory.hold(1, {}), undefined);
    assert.equal(only.resize(bytesMax / 2), true);
    const next = memory.hold(1, {});
    assert.equal(next?.resize(bytesMax / 2), false);
    assert.equal(next.resize(bytesMax / 8), true);
    assert.equal(memory.bytes, (bytesMax * 5) / 8);
  });

  test('what is held is the sum, and let go of once', () => {
    const act = fc.record({ holder: fc.nat(3), bytes: fc.nat(200 * kibibyte), release: fc.nat(5), wait: fc.nat(600) });
    fc.assert(
      fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
        const { memory, wait } = start();
        const holders = [{}, {}, {}, {}];
        const open = new Map<number, { bytes: number; release: () => void }>();
        for (const [index, { holder, bytes, release, wait: ms }] of acts.entries()) {
          const who = holders[holder] as object;
          memory.roomFor(who);
          const held = memory.hold(bytes + 1_000, who);
          held?.watch(() => open.delete(index));
          if (held?.resize(bytes)) open.set(index, { bytes, release: () => held.release() });
          wait(ms);
          assert.ok(memory.bytes <= bytesMax);
          const [key, other] = [...open][release] ?? [];
          other?.release();
          other?.release();
          if (key !== undefined) open.delete(key);
          const sum = [...open.values()].reduce((total, each) => total + each.bytes, 0);
          assert.equal(memory.bytes, sum);
        }
      }),
    );
  });
});
