import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BarChart, drawBarChart } from './bar-chart.ts';

const chart: BarChart = {
  title: 'A < B & C',
  subtitle: '',
  columns: [
    { title: 'left', hint: '' },
    { title: 'right', hint: '' },
  ],
  groups: [
    { title: 'one', rows: [row('most', 100, 3)] },
    { title: 'two', rows: [row('half', 50, 1.5), row('none', 0, 0), { label: 'absent', tone: 'other', bars: [] }] },
  ],
};

function row(label: string, left: number, right: number): BarChart['groups'][number]['rows'][number] {
  const bars = [left, right].map((value) => ({ value, text: String(value) }));
  return { label, tone: 'other', bars };
}

/** Left end and length of each bar, in order. */
function barsOf(svg: string): [number, number][] {
  const found = svg.matchAll(/<rect class="other" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"/g);
  return [...found].map(([, x, width]) => [Number(x), Number(width)]);
}

test('each column has a scale of its own, of all groups: the longest bar fills it, half as much is half as long', () => {
  const [most, mostRight, half, halfRight] = barsOf(drawBarChart(chart, '')).map(([, width]) => width);
  assert.ok(most !== undefined && half !== undefined);
  assert.equal(most, mostRight);
  assert.ok(Math.abs(half - most / 2) <= 0.1);
  assert.equal(half, halfRight);
});

test('bars of a column begin at one line, nothing is a sliver that can be seen, and what is absent has no bar', () => {
  const bars = barsOf(drawBarChart(chart, ''));
  assert.equal(bars.length, 6);
  assert.equal(new Set(bars.map(([x]) => x)).size, 2);
  assert.deepEqual(
    bars.slice(4).map(([, width]) => width),
    [1, 1],
  );
});

test('the longest bar leaves room for its text, within the picture', () => {
  const svg = drawBarChart(chart, '');
  const width = Number(/<svg [^>]*width="(\d+)"/.exec(svg)?.[1]);
  for (const [x, length] of barsOf(svg)) assert.ok(x + length + 100 <= width);
});

test('what XML would take for markup is escaped', () => {
  const svg = drawBarChart(chart, 'x < y');
  assert.match(svg, /A &lt; B &amp; C/);
  assert.match(svg, /x &lt; y/);
});
