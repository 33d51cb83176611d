/**
 * A reporter for node:test that programs can read: one JSON object a line, for each failed test and, at the end, the
 * totals of the file. A file that dies before its end leaves no totals, and so cannot pass by accident.
 */
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';

export type ReportLine =
  | { readonly kind: 'failure'; readonly name: string; readonly place: string; readonly error: string }
  | { readonly kind: 'totals'; readonly passed: number; readonly failed: number; readonly skipped: number };

// biome-ignore lint/style/noDefaultExport: node:test loads a reporter by its default export.
export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string, void> {
  for await (const event of events) {
    const line = toLine(event);
    if (line !== undefined) yield `${JSON.stringify(line)}\n`;
  }
}

function toLine(event: TestEvent): ReportLine | undefined {
  if (event.type === 'test:summary') {
    const { tests, passed, skipped, todo } = event.data.counts;
    return { kind: 'totals', passed, failed: tests - passed - skipped - todo, skipped: skipped + todo };
  }
  if (event.type !== 'test:fail' || event.data.todo !== undefined) return undefined;
  const { name, file, line, details } = event.data;
  // A suite fails because a test in it does, which has its own line; what a suite's hooks throw comes as the cause.
  if (details.type === 'suite' && !(details.error.cause instanceof Error)) return undefined;
  const error = details.error.cause instanceof Error ? details.error.cause : details.error;
  return { kind: 'failure', name, place: `${file ?? '?'}:${line ?? 0}`, error: inspect(error, { depth: 6 }) };
}
