/** Planted bugs of elections: who may vote, who wins, when one begins. */
import { RaftIdentity, RaftInbox } from '@fleetmq/controller/sim';
import { Tracker } from '@fleetmq/raft/sim';
import { type Mutant, patch, twist } from './mutant.ts';

export const electionMutants: readonly Mutant[] = [
  {
    name: 'two-votes',
    about: 'a second candidate of a term gets a vote, too',
    plant: () =>
      patch(
        RaftInbox.prototype,
        'ask',
        (real) =>
          async function ask(this: RaftInbox, message, options) {
            const answer = await (real.call(this as never, message as never, options as never) as ReturnType<
              RaftInbox['ask']
            >);
            const isRefusal = answer.type === 'MsgVoteResp' && answer.reject && answer.term === message.term;
            return isRefusal ? { ...answer, reject: false } : answer;
          },
      ),
  },
  {
    name: 'elected-by-one-less',
    about: 'a candidate wins with one vote less than a majority',
    plant: () =>
      patch(
        Tracker.prototype,
        'tallyVotes',
        (real) =>
          function tallyVotes(this: Tracker) {
            const tally = real.call(this as never) as ReturnType<Tracker['tallyVotes']>;
            const needed = Math.floor(this.config.voters.incoming.size / 2);
            return tally.granted >= Math.max(1, needed) ? { ...tally, result: 'VoteWon' } : tally;
          },
      ),
  },
  {
    name: 'no-pre-vote',
    about: 'a node that is cut off raises its term again and again',
    twists: twist(() => ({ raftOptions: { preVote: false } })),
  },
  {
    name: 'timeouts-not-random',
    about: 'all nodes draw the same election timeout',
    twists: twist(({ random }) => ({ random: { next: () => 0.5, bytes: (length) => random.bytes(length) } })),
  },
  {
    name: 'stranger-accepted',
    about: 'a wiped disk goes on under the old name',
    faults: ['wiped-disk', 'isolate', 'isolate-leader', 'kill'],
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
];
