/**
 * Topics that must be there at the end: their creation was acknowledged, and no deletion of their name, done or of unknown
 * outcome, was under way at that moment or later. Looked for without any search, beside the linearizability of the history.
 */
import type { TopicOperation } from './topics.ts';

export interface ExpectedTopics {
  /** Acknowledged creations. */
  readonly created: number;
  /** Name and id. */
  readonly mustExist: ReadonlyMap<string, string>;
}

export function expectedTopics(operations: readonly TopicOperation[]): ExpectedTopics {
  const lastDeletionMs = new Map<string, number>();
  for (const { kind, outcome, input, returnedMs, output } of operations) {
    const hasDeleted = kind === 'deleteTopic' && outcome !== 'fail' && !(output !== undefined && 'refused' in output);
    if (hasDeleted) lastDeletionMs.set(input.name, Math.max(lastDeletionMs.get(input.name) ?? 0, returnedMs));
  }
  const mustExist = new Map<string, string>();
  let created = 0;
  for (const { kind, input, output, invokedMs } of operations) {
    if (kind !== 'createTopic' || output === undefined || !('topicId' in output)) continue;
    created++;
    const deletedMs = lastDeletionMs.get(input.name);
    if (deletedMs === undefined || deletedMs < invokedMs) mustExist.set(input.name, output.topicId);
  }
  return { created, mustExist };
}

/** In words; empty: none is lost. `found`: what a reading at the end has found, by name. */
export function lostTopics({ mustExist }: ExpectedTopics, found: ReadonlyMap<string, string>): readonly string[] {
  return [...mustExist].flatMap(([name, topicId]) => {
    const foundId = found.get(name);
    return foundId === topicId ? [] : [`topic ${name} with id ${topicId} is lost: found ${foundId ?? 'nothing'}`];
  });
}
