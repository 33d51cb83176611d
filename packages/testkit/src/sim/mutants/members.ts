/** Planted bugs of the members: who counts, who may come and go, what is remembered of those who went, and in which order. */
import { ConfProposals, LeadershipState, RaftDriver, SnapshotReceiver } from '@fleetmq/controller/sim';
import { majorityCommitted, majorityVote, type NodeId } from '@fleetmq/raft';
import { Tracker } from '@fleetmq/raft/sim';
import type { LogIndex } from '@fleetmq/shared';
import type { SeedPart } from '../seed.ts';
import { type Mutant, method, patch, patchGetter, together, twist } from './mutant.ts';

/** What a majority of these has acknowledged. */
function committedBy(voters: ReadonlySet<NodeId>, { progress }: Tracker): LogIndex {
  return majorityCommitted(voters, (id) => progress.get(id)?.match) as LogIndex;
}

/** The votes of these decide. */
function decideElections(votersOf: (tracker: Tracker) => ReadonlySet<NodeId>): () => void {
  const votes = new WeakMap<Tracker, Map<NodeId, boolean>>();
  return together(
    patch(
      Tracker.prototype,
      'resetVotes',
      (real) =>
        function resetVotes(this: Tracker) {
          votes.set(this, new Map());
          real.call(this as never);
        },
    ),
    patch(
      Tracker.prototype,
      'recordVote',
      (real) =>
        function recordVote(this: Tracker, id, granted) {
          votes.get(this)?.set(id, granted);
          real.call(this as never, id as never, granted as never);
        },
    ),
    method(Tracker.prototype, 'tallyVotes').withAnswer((tally, tracker) => {
      return { ...tally, result: majorityVote(votersOf(tracker), votes.get(tracker) ?? new Map()) };
    }),
  );
}

/** The change before is forgotten for as long as the next one is proposed. */
function forgetOpenChange(): () => void {
  let isProposing = false;
  return together(
    patchGetter(ConfProposals.prototype, 'isBusy', () => false),
    patch(
      ConfProposals.prototype,
      'propose',
      (real) =>
        function propose(this: ConfProposals, step, next, options) {
          this.restored();
          isProposing = true;
          try {
            return real.call(this as never, step as never, next as never, options as never) as Promise<void>;
          } finally {
            isProposing = false;
          }
        },
    ),
    method(RaftDriver.prototype, 'unappliedConfChanges').withAnswer((changes) => (isProposing ? [] : changes)),
  );
}

/** The members change all the time, and some of them are slow or away. */
const restless: SeedPart = {
  operators: 'change',
  controllers: 3,
  spares: 2,
  memberChangeEveryMs: 500,
  operationEveryMs: 200,
  faults: ['isolate', 'one-way', 'slow-disk', 'isolate-in-change'],
};

export const memberMutants: readonly Mutant[] = [
  {
    name: 'joint-commit-by-one-half',
    about: 'entries of a joint configuration are committed by a majority of its incoming half',
    fixed: restless,
    plant: () =>
      patch(
        Tracker.prototype,
        'committed',
        () =>
          function committed(this: Tracker) {
            return committedBy(this.config.voters.incoming, this);
          },
      ),
  },
  {
    name: 'joint-election-by-one-half',
    about: 'a leader of a joint configuration is elected by a majority of its incoming half',
    fixed: { ...restless, faults: ['crash-in-change', 'isolate-in-change', 'split', 'isolate'], faultEveryMs: 500 },
    plant: () => decideElections(({ config }) => config.voters.incoming),
  },
  {
    name: 'learner-counts',
    about: 'what learners have acknowledged counts',
    fixed: restless,
    plant: () =>
      patch(
        Tracker.prototype,
        'committed',
        () =>
          function committed(this: Tracker) {
            return committedBy(new Set([...this.config.voters.incoming, ...this.config.learners]), this);
          },
      ),
  },
  {
    name: 'second-change-at-once',
    about: 'a change of the members is proposed while the one before is not applied',
    fixed: restless,
    plant: forgetOpenChange,
    twists: twist(() => ({ raftOptions: { disableConfChangeValidation: true } })),
  },
  {
    name: 'change-before-own-term',
    about: 'a leader changes the members before it has committed an entry of its own term',
    fixed: restless,
    plant: () =>
      together(
        patch(
          LeadershipState.prototype,
          'requireReady',
          (real) =>
            function requireReady(this: LeadershipState) {
              if (!this.isLeader) real.call(this as never);
            },
        ),
        patchGetter(LeadershipState.prototype, 'isReady', (_ready, { isLeader }) => isLeader),
      ),
    twists: twist(() => ({ raftOptions: { disableConfChangeValidation: true } })),
  },
  {
    name: 'promoted-at-once',
    about: 'a learner is promoted before it has caught up',
    fixed: restless,
    plant: () =>
      method(RaftDriver.prototype, 'status').withAnswer((known) => {
        // Each status has copies of its own.
        for (const progress of known.progress.values()) if (progress.isLearner) progress.match = known.lastIndex;
        return known;
      }),
  },
  {
    name: 'removed-disks-forgotten',
    about: 'who was removed is not written down: its disk may be added again',
    fixed: restless,
    plant: () =>
      method(ConfProposals.prototype, 'propose').withArguments(([step, next, options]) => [
        step,
        { ...next, retired: [] },
        options,
      ]),
  },
  {
    name: 'removed-leader-goes-on',
    about: 'a leader that was removed goes on leading',
    fixed: restless,
    twists: twist(() => ({ raftOptions: { stepDownOnRemoval: false } })),
  },
  {
    name: 'learners-lost-in-snapshot',
    about: 'a snapshot is installed without the learners of its configuration',
    fixed: restless,
    plant: () =>
      method(SnapshotReceiver.prototype, 'receive').withAwaited((received) => {
        const { message } = received;
        if (message?.snapshot === undefined) return received;
        const confState = { ...message.snapshot.confState, learners: [] };
        return { ...received, message: { ...message, snapshot: { ...message.snapshot, confState } } };
      }),
  },
];
