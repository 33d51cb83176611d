/** Planted bugs of the replicated log and of reads: what is committed, what conflicts, what a read must wait for. */

import { noIndex, noTerm } from '@fleetmq/raft';
import { RaftLog, ReadQueue, Tracker, Unstable } from '@fleetmq/raft/sim';
import type { LogIndex } from '@fleetmq/shared';
import { type Mutant, method, patch, twist } from './mutant.ts';

export const replicationMutants: readonly Mutant[] = [
  {
    name: 'commit-by-one-less',
    about: 'an entry counts as committed with one acknowledgement less than a majority',
    plant: () =>
      patch(
        Tracker.prototype,
        'committed',
        () =>
          function committed(this: Tracker) {
            const matches = [...this.config.voters.incoming].map((id) => this.progress.get(id)?.match ?? 0);
            matches.sort((left, right) => right - left);
            return matches[Math.max(0, Math.floor(matches.length / 2) - 1)] as LogIndex;
          },
      ),
  },
  {
    name: 'old-terms-committed',
    about: 'a leader commits entries of earlier terms by counting',
    plant: () =>
      method(RaftLog.prototype, 'maybeCommit').withArguments(([{ index, term }], log) => [
        { index, term: log.term(index) ?? term },
      ]),
  },
  {
    name: 'follower-commits-all',
    about: 'a follower applies what it has, committed or not',
    plant: () => method(RaftLog.prototype, 'commitTo').withArguments((_, log) => [log.lastIndex()]),
  },
  {
    name: 'conflict-kept',
    about: 'entries that conflict with the leader stay in the log',
    plant: () =>
      patch(
        Unstable.prototype,
        'truncateAndAppend',
        (real) =>
          function truncateAndAppend(this: Unstable, entries) {
            const end = this.offset + this.length;
            const fresh = entries.filter(({ index }) => index >= end);
            const kept = fresh.length === 0 && entries.length > 0 && this.length > 0 ? [] : fresh;
            const first = kept[0] ?? (this.length === 0 ? entries[0] : undefined);
            if (first !== undefined) real.call(this as never, (kept.length > 0 ? kept : entries) as never);
          },
      ),
  },
  {
    name: 'read-without-quorum',
    about: 'reads are answered without a round of heartbeats',
    fixed: { faults: ['pause-leader', 'isolate-leader'] },
    twists: twist(() => ({ raftOptions: { readOnlyOption: 'lease-based' } })),
  },
  {
    name: 'read-confirmed-by-one',
    about: 'reads are answered when any one node has confirmed them',
    fixed: { faults: ['split'] },
    plant: () =>
      patch(
        ReadQueue.prototype,
        'takeConfirmed',
        (real) =>
          function takeConfirmed(this: ReadQueue, voters) {
            for (const id of voters.incoming) {
              const alone = { incoming: new Set([id]), outgoing: new Set<number>() };
              const taken = real.call(this as never, alone as never) as ReturnType<ReadQueue['takeConfirmed']>;
              if (taken.length > 0) return taken;
            }
            return [];
          },
      ),
  },
  {
    name: 'previous-not-compared',
    about: 'a follower takes entries without looking at the term of the one before',
    fixed: { operators: 'none', operationEveryMs: 200, faults: ['split'], faultEveryMs: 1_000, faultLastsMs: 3_000 },
    plant: () =>
      method(RaftLog.prototype, 'maybeAppend').withArguments(([{ previous, entries }, commit], log) => {
        const term = log.term(previous.index) ?? previous.term;
        return [{ previous: { ...previous, term }, entries }, commit];
      }),
  },
  {
    name: 'asks-from-the-beginning',
    about: 'a follower asks for entries that it has given up',
    plant: () => patch(RaftLog.prototype, 'findConflictByTerm', () => () => ({ index: noIndex, term: noTerm })),
  },
];
