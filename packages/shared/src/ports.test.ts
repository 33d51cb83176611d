import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from './ports.ts';

test('the silent logger says nothing, and its children neither', () => {
  const child = silentLogger.child({ a: 1 });
  for (const level of ['debug', 'info', 'warn', 'error'] as const) assert.equal(child[level]({}, 'x'), undefined);
});
