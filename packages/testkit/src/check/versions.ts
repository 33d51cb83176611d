/**
 * Metadata versions in answers. What began after an answer with some version was out must know that version: so no version
 * that one process sees falls, and a read covers every write that was answered before it began.
 */
import type { Operation } from './history.ts';

/** At most so many are told. */
const findingsMax = 10;

/** In words; empty: all is well. Answers without a version count for nothing. */
export function checkVersions(operations: readonly Operation[]): readonly string[] {
  const findings: string[] = [];
  const answers = operations.flatMap((operation) => {
    const version = versionOf(operation);
    return version === undefined ? [] : [{ operation, version }];
  });
  const byCall = answers.toSorted((left, right) => left.operation.invokedMs - right.operation.invokedMs);
  const byAnswer = answers.toSorted((left, right) => left.operation.returnedMs - right.operation.returnedMs);
  let newest: (typeof answers)[number] | undefined;
  let next = 0;
  for (const { operation, version } of byCall) {
    for (let each = byAnswer[next]; each !== undefined; each = byAnswer[++next]) {
      if (each.operation.returnedMs >= operation.invokedMs) break;
      if (newest === undefined || each.version > newest.version) newest = each;
    }
    if (newest === undefined || version >= newest.version) continue;
    const earlier = `${newest.operation.kind} of process ${newest.operation.process}`;
    findings.push(
      `${operation.kind} of process ${operation.process}, called at ${operation.invokedMs.toFixed(1)}, is as of version ` +
        `${version}; ${earlier} was answered with version ${newest.version} at ${newest.operation.returnedMs.toFixed(1)}`,
    );
    if (findings.length === findingsMax) break;
  }
  return findings;
}

function versionOf({ output }: Operation): number | undefined {
  if (typeof output !== 'object' || output === null || !('version' in output)) return undefined;
  return typeof output.version === 'number' ? output.version : undefined;
}
