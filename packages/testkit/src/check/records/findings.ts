/**
 * What a history shows, by name. All are counted, a few of each name are kept with their evidence, and what is exempt is counted
 * apart and never kept.
 */

export const findingNames = [
  'lost-write',
  'unseen',
  'duplicate',
  'inconsistent-offsets',
  'unwritten-read',
  'G1a',
  'G1c',
  'precommitted-read',
  'poll-skip',
  'nonmonotonic-poll',
  'int-poll-skip',
  'int-nonmonotonic-poll',
  'nonmonotonic-send',
  'int-nonmonotonic-send',
  'int-send-skip',
  'worst-realtime-lag',
] as const;

export type FindingName = (typeof findingNames)[number];

export interface Finding {
  readonly name: FindingName;
  /** What is wrong, in one line. */
  readonly text: string;
  /** The operations that show it, one line each. */
  readonly operations: readonly string[];
}

export interface FindingCount {
  readonly found: number;
  readonly exempt: number;
}

export class Findings {
  readonly kept: Finding[] = [];
  readonly #counts = new Map<FindingName, { found: number; exempt: number }>();
  readonly #keptMax: number;

  /** `keptMax` of each name. */
  constructor(keptMax: number) {
    this.#keptMax = keptMax;
  }

  /** `evidence` is called only if it is kept. */
  add(name: FindingName, isExempt: boolean, evidence: () => Omit<Finding, 'name'>): void {
    const count = this.#counts.get(name) ?? { found: 0, exempt: 0 };
    this.#counts.set(name, count);
    if (isExempt) count.exempt++;
    else if (++count.found <= this.#keptMax) this.kept.push({ name, ...evidence() });
  }

  /** Of all names, in their order. */
  counts(): Readonly<Record<FindingName, FindingCount>> {
    const rows = findingNames.map((name) => [name, this.#counts.get(name) ?? { found: 0, exempt: 0 }] as const);
    return Object.fromEntries(rows) as Record<FindingName, FindingCount>;
  }
}
