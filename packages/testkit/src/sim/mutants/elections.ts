/** Planted bugs of elections: who may vote, who wins, when one begins. */
import { RaftDriver, RaftIdentity, RaftInbox } from '@fleetmq/controller/sim';
import { RaftLog, Tracker } from '@fleetmq/raft/sim';
import type { LogIndex } from '@fleetmq/shared';
import { calmNetwork } from '../seed.ts';
import { type Mutant, method, patch, together, twist } from './mutant.ts';

export const electionMutants: readonly Mutant[] = [
  {
    name: 'two-votes',
    about: 'a second candidate of a term gets a vote, too',
    plant: () =>
      method(RaftInbox.prototype, 'ask').withAwaited((answer, [message]) => {
        const isRefusal = answer.type === 'MsgVoteResp' && answer.reject && answer.term === message.term;
        return isRefusal ? { ...answer, reject: false } : answer;
      }),
  },
  {
    name: 'elected-by-one-less',
    about: 'a candidate wins with one vote less than a majority',
    plant: () =>
      method(Tracker.prototype, 'tallyVotes').withAnswer((tally, { config }) => {
        const needed = Math.floor(config.voters.incoming.size / 2);
        return tally.granted >= Math.max(1, needed) ? { ...tally, result: 'VoteWon' } : tally;
      }),
  },
  {
    name: 'no-pre-vote',
    about: 'a node that is cut off raises its term again and again',
    twists: twist(() => ({ raftOptions: { preVote: false } })),
  },
  {
    name: 'timeouts-not-random',
    about: 'all nodes draw the same election timeout',
    fixed: { lockstep: true, clockDrift: 0, network: calmNetwork(2, 0) },
    twists: twist(({ random }) => ({ random: { next: () => 0.5, bytes: (length) => random.bytes(length) } })),
  },
  {
    name: 'stranger-accepted',
    about: 'a wiped disk goes on under the old name',
    fixed: { faults: ['wiped-disk', 'isolate', 'isolate-leader', 'kill'] },
    plant: () =>
      patch(
        RaftIdentity.prototype,
        'check',
        (real) =>
          async function check(this: RaftIdentity, envelope, claim) {
            try {
              return await (real.call(this as never, envelope as never, claim as never) as Promise<number>);
            } catch (error) {
              if (envelope === undefined) throw error;
              return envelope.senderId;
            }
          },
      ),
  },
  {
    name: 'vote-for-shorter-log',
    about: 'a vote does not ask whether the candidate has all that the voter has',
    plant: () => patch(RaftLog.prototype, 'isUpToDate', () => () => true),
  },
  {
    name: 'no-check-quorum',
    about: 'a leader that hears no majority goes on',
    plant: () => patch(Tracker.prototype, 'isQuorumActive', () => () => true),
  },
  {
    name: 'no-lease',
    about: 'votes are given while a leader is heard',
    plant: () =>
      method(RaftInbox.prototype, 'ask').withArguments(([message, options]) => {
        const isVote = message.type === 'MsgVote' || message.type === 'MsgPreVote';
        return [isVote ? { ...message, transfer: true } : message, options];
      }),
  },
  {
    name: 'handed-to-who-lags',
    about: 'a leadership is handed over before the other one has the whole log',
    fixed: { faults: ['transfer', 'slow-disk'] },
    plant: plantHastyTransfer,
  },
];

/** For as long as the hand-over begins, the log seems to end where that of the other one ends. */
function plantHastyTransfer(): () => void {
  let end: LogIndex | undefined;
  return together(
    patch(
      RaftDriver.prototype,
      'transferLeader',
      (real) =>
        function transferLeader(this: RaftDriver, target) {
          end = this.status().progress.get(target)?.match;
          real.call(this as never, target as never);
          end = undefined;
        },
    ),
    method(RaftLog.prototype, 'lastIndex').withAnswer((last) => end ?? last),
  );
}
