/**
 * Horizontal bars as SVG, written by hand: rows in groups, one or more columns of bars, each with a scale of its own and its
 * values as text. Readable on light and dark pages: the picture brings its background and asks which one is preferred.
 */
export interface BarChart {
  readonly title: string;
  readonly subtitle: string;
  readonly columns: readonly BarColumn[];
  readonly groups: readonly BarGroup[];
}

export interface BarColumn {
  readonly title: string;
  readonly hint: string;
}

export interface BarGroup {
  readonly title: string;
  readonly rows: readonly BarRow[];
}

export interface BarRow {
  readonly label: string;
  /** `ours` stands out, `ceiling` stands back. */
  readonly tone: 'ours' | 'other' | 'ceiling';
  /** One per column; undefined leaves it empty. */
  readonly bars: readonly (Bar | undefined)[];
}

export interface Bar {
  readonly value: number;
  /** What is written beside it. */
  readonly text: string;
}

const width = 900;
const margin = 24;
const labelWidth = 190;
const columnGap = 20;
const textWidth = 118;
const rowHeight = 22;
const barHeight = 14;
const groupGap = 14;
const groupTitleHeight = 24;
const headHeight = 104;
const footHeight = 40;

const style = `
  .page { fill: #ffffff; stroke: #d0d7de; }
  text { font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; }
  .title { font-size: 18px; font-weight: 600; }
  .group { font-weight: 600; }
  .muted { fill: #59636e; }
  .line { stroke: #d0d7de; }
  .ours { fill: #0f6cbd; }
  .other { fill: #8c96a3; }
  .ceiling { fill: #e0b354; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #12171d; stroke: #3d444d; }
    text { fill: #e6edf3; }
    .muted { fill: #9aa4af; }
    .line { stroke: #3d444d; }
    .ours { fill: #4ba3f5; }
    .other { fill: #737e8a; }
    .ceiling { fill: #b8893a; }
  }`;

/** `footer`: where the figures come from. */
export function drawBarChart({ title, subtitle, columns, groups }: BarChart, footer: string): string {
  const columnWidth = (width - 2 * margin - labelWidth - (columns.length - 1) * columnGap) / columns.length;
  const barWidth = columnWidth - textWidth;
  const leftOf = (column: number): number => margin + labelWidth + column * (columnWidth + columnGap);
  const most = columns.map((_, column) =>
    Math.max(...groups.flatMap(({ rows }) => rows.map(({ bars }) => bars[column]?.value ?? 0))),
  );
  const parts: string[] = [
    text({ x: margin, y: 36, words: title, classes: 'title' }),
    text({ x: margin, y: 56, words: subtitle, classes: 'muted' }),
    ...columns.flatMap(({ title: head, hint }, column) => [
      text({ x: leftOf(column), y: headHeight - 14, words: head, classes: 'group' }),
      text({ x: leftOf(column) + columnWidth, y: headHeight - 14, words: hint, classes: 'muted', anchor: 'end' }),
    ]),
  ];
  let y = headHeight;
  for (const group of groups) {
    parts.push(`<line class="line" x1="${margin}" x2="${width - margin}" y1="${y}" y2="${y}"/>`);
    parts.push(text({ x: margin, y: y + 17, words: group.title, classes: 'group' }));
    y += groupTitleHeight;
    for (const { label, tone, bars } of group.rows) {
      const baseline = y + 15;
      parts.push(text({ x: margin + 10, y: baseline, words: label, classes: tone === 'ours' ? '' : 'muted' }));
      bars.forEach((bar, column) => {
        if (bar === undefined) return;
        const length = Math.max(1, (bar.value / (most[column] as number)) * barWidth);
        const [x, top] = [leftOf(column), y + (rowHeight - barHeight) / 2];
        parts.push(
          `<rect class="${tone}" x="${round(x)}" y="${top}" width="${round(length)}" height="${barHeight}" rx="2"/>`,
        );
        parts.push(text({ x: x + length + 6, y: baseline, words: bar.text, classes: '' }));
      });
      y += rowHeight;
    }
    y += groupGap;
  }
  const height = y + footHeight;
  parts.push(text({ x: margin, y: height - 20, words: footer, classes: 'muted' }));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escapeXml(title)}</title>`,
    `<style>${style}\n</style>`,
    `<rect class="page" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8"/>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}

interface Text {
  readonly x: number;
  readonly y: number;
  readonly words: string;
  readonly classes: string;
  readonly anchor?: 'end';
}

function text({ x, y, words, classes, anchor }: Text): string {
  const style = classes === '' ? '' : ` class="${classes}"`;
  const side = anchor === undefined ? '' : ` text-anchor="${anchor}"`;
  return `<text${style} x="${round(x)}" y="${y}"${side}>${escapeXml(words)}</text>`;
}

function round(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function escapeXml(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
