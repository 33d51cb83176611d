import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { formatFigures, replaceFigures } from './docs-page.ts';
import type { SuiteReport } from './report.ts';

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

test('the figures of the page are those of bench/results: after a run, npm run bench -- --suite plots', () => {
  const figures = formatFigures({ data: resultsOf('data'), peers: resultsOf('peers') });
  assert.equal(replaceFigures(page, figures), page);
});

test('a page without a place for them is refused', () => {
  assert.throws(() => replaceFigures('# Benchmarks', 'one'), /has no "<!-- figures/);
});

function resultsOf(suite: string): SuiteReport | undefined {
  const file = new URL(`./results/${suite}.json`, import.meta.url);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as SuiteReport) : undefined;
}
