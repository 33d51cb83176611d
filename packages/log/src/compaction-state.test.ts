import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tableChecksum, toOffset } from '@fleetmq/shared';
import {
  afterPass,
  cutState,
  decodeCompaction,
  encodeCompaction,
  nothingCompacted,
  tombstonesEnd,
} from './compaction-state.ts';
import { KeyMap } from './key-map.ts';

const pass = (cleanedTo: number, nowMs: number, droppedTo = 0, isComplete = true) => ({
  cleanedTo: toOffset(cleanedTo),
  nowMs,
  droppedTo: toOffset(droppedTo),
  isComplete,
  hasTombstones: true,
});
const endAt = (state: typeof nothingCompacted, nowMs: number): number =>
  tombstonesEnd(state, { nowMs, deleteRetentionMs: 100 });

test('tombstones go when what they delete has been gone for the grace period, those of later passes later', () => {
  let state = afterPass(nothingCompacted, pass(10, 1000));
  state = afterPass(state, pass(20, 1050));
  // This pass could not read everything.
  state = afterPass(state, pass(30, 1060, 0, false));
  const steps = [1099, 1100, 1149, 1150, 9999].map((nowMs) => endAt(state, nowMs));
  assert.deepEqual(steps, [0, 10, 10, 20, 20]);
  state = afterPass(state, pass(30, 1200, 20));
  assert.deepEqual([endAt(state, 1299), endAt(state, 1300)], [0, 30]);
  // A clock that goes back makes them stay.
  state = afterPass(state, pass(30, 500, 20));
  assert.deepEqual([endAt(state, 599), endAt(state, 600)], [0, 30]);
});

test('however many passes there are, few marks are kept, and none lets a tombstone go early', () => {
  let state = nothingCompacted;
  for (let i = 1; i <= 100; i++) state = afterPass(state, pass(i * 10, i));
  assert.ok(state.marks.length <= 16);
  for (let nowMs = 0; nowMs < 300; nowMs++) assert.ok(endAt(state, nowMs) <= Math.max(0, (nowMs - 100) * 10));
  assert.equal(endAt(state, 200), 1000);
});

test('the file gives back the state; a cut lowers it; damage is seen', () => {
  const state = afterPass(afterPass(nothingCompacted, pass(10, 1000)), pass(20, 1050, 5));
  const bytes = encodeCompaction(state, tableChecksum);
  assert.deepEqual(decodeCompaction(bytes, tableChecksum), state);
  const cut = cutState(state, toOffset(15));
  assert.deepEqual([cut.cleanedTo, cut.droppedTo, cut.marks.length], [15, 5, 1]);
  bytes[6]! ^= 1;
  assert.equal(decodeCompaction(bytes, tableChecksum), undefined);
});

test('a map of keys tells all of them apart, and says when it is full', () => {
  const keys = new KeyMap(2000);
  for (let byte = 0; byte < 256; byte++) {
    if (byte === 20) assert.equal(keys.isFull, false);
    keys.note(Uint8Array.of(byte), byte);
  }
  keys.note(new Uint8Array(0), 900);
  keys.note(Uint8Array.of(7), 901);
  assert.deepEqual([keys.size, keys.isFull], [257, true]);
  assert.deepEqual([keys.newest(Uint8Array.of(7)), keys.newest(Uint8Array.of(200))], [901, 200]);
  assert.deepEqual([keys.newest(new Uint8Array(0)), keys.newest(Uint8Array.of(7, 7))], [900, undefined]);
});
