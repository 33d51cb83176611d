import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Operation } from './history.ts';
import { checkVersions } from './versions.ts';

const at = (process: number, invokedMs: number, returnedMs: number, version: number | undefined): Operation => {
  const output = version === undefined ? { refused: 'TOPIC_NOT_FOUND' } : { version };
  return { process, kind: 'describeTopic', input: {}, output, outcome: 'ok', invokedMs, returnedMs };
};

test('versions may be equal, and concurrent answers may have them in any order', () => {
  assert.deepEqual(checkVersions([]), []);
  assert.deepEqual(
    checkVersions([at(1, 0, 1, 5), at(1, 2, 3, 5), at(2, 2, 9, 4 + 1), at(1, 4, 5, 7), at(2, 10, 11, 7)]),
    [],
  );
  assert.deepEqual(checkVersions([at(1, 0, 9, 8), at(2, 1, 10, 7)]), []);
});

test('an answer without a version says nothing', () => {
  assert.deepEqual(checkVersions([at(1, 0, 1, 5), at(1, 2, 3, undefined), at(1, 4, 5, 5)]), []);
});

test('what one process sees never falls', () => {
  assert.match(
    checkVersions([at(1, 0, 1, 5), at(1, 2, 3, 4)])[0] ?? '',
    /process 1, called at 2.0, is as of version 4; .* version 5/,
  );
});

test('a read covers what was answered to anybody before it began', () => {
  assert.equal(checkVersions([at(1, 0, 1, 5), at(2, 1.5, 3, 4), at(3, 0, 9, 1)]).length, 1);
});

test('tells of ten at most', () => {
  const falling = Array.from({ length: 30 }, (_, number) => at(1, 2 * number, 2 * number + 1, 100 - number));
  assert.equal(checkVersions(falling).length, 10);
});
