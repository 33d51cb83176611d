/** A node:test reporter: one line of JSON per finished test, and one with the totals of the file. Read by test-run.ts. */
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';

export type TestLine =
  | { readonly kind: 'failed'; readonly name: string; readonly at: string; readonly error: string }
  | { readonly kind: 'slow'; readonly name: string; readonly tookMs: number }
  | { readonly kind: 'totals'; readonly passed: number; readonly failed: number; readonly skipped: number };
