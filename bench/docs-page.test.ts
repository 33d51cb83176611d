import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { replaceFigures } from './docs-page.ts';

const page = readFileSync(new URL('../docs/benchmarks.md', import.meta.url), 'utf8');

test('figures go between their marks, and again; the words around them stay', () => {
  const once = replaceFigures(page, 'one');
  const twice = replaceFigures(once, 'two');
  assert.match(twice, /\n\ntwo\n\n/);
  assert.equal(twice.length, once.length);
  assert.equal(replaceFigures(twice, 'one'), once);
  assert.ok(once.startsWith(page.slice(0, page.indexOf('<!-- figures'))));
  assert.ok(once.endsWith(page.slice(page.indexOf('<!-- end of figures'))));
});

test('a page without a place for them is refused', () => {
  assert.throws(() => replaceFigures('# Benchmarks', 'one'), /has no "<!-- figures/);
});
