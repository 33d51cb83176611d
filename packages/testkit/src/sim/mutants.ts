/**
 * Planted bugs: each turns one rule of Raft, of its disk or of the metadata off, and must be caught by an invariant. They are
 * put in from the outside, by patching methods of classes and by twisting the ports of a node, so that the product has no
 * switch for any of them. `plant` changes this process until the returned function undoes it: one mutant at a time.
 */
import {
  DiskRaftStorage,
  decodeCommand,
  encodeCommand,
  HardStateFiles,
  joinEntryData,
  MetadataFeed,
  type NodePorts,
  Proposals,
  RaftIdentity,
  RaftInbox,
  RaftWal,
  SnapshotFiles,
  StateMachine,
  splitEntryData,
} from '@fleetmq/controller/sim';
import { type Entry, emptyConfState } from '@fleetmq/raft';
import { RaftLog, ReadQueue, Tracker, Unstable } from '@fleetmq/raft/sim';
import type { LogIndex } from '@fleetmq/shared';
import type { ClusterTwists } from './controllers/cluster.ts';
import type { FaultKind } from './seed.ts';

export interface Mutant {
  readonly name: string;
  /** What it leaves out. */
  readonly about: string;
  /** Patches classes; returns what undoes it. */
  readonly plant?: () => () => void;
  readonly twists?: ClusterTwists;
  /** The faults that bring it out; default: those of the seed. For what needs a rare order of rare faults. */
  readonly faults?: readonly FaultKind[];
}

type Method = (this: never, ...args: never[]) => unknown;

/** Replaces a method of a class until the result is called. `make` gets the real one. */
function patch<Instance extends object, Name extends keyof Instance>(
  prototype: Instance,
  name: Name,
  make: (real: Instance[Name] & Method) => Instance[Name],
): () => void {
  const real = prototype[name];
  prototype[name] = make(real as Instance[Name] & Method);
  return () => {
    prototype[name] = real;
  };
}

/** Each entry is changed before it is applied, on every node alike. */
function patchCommands(change: (entry: Entry, machine: StateMachine) => Entry): () => void {
  return patch(
    StateMachine.prototype,
    'apply',
    (real) =>
      function apply(this: StateMachine, entry) {
        const hasCommand = entry.type === 'EntryNormal' && entry.data.length > 0;
        real.call(this as never, (hasCommand ? change(entry, this) : entry) as never);
      },
  );
}

function liar(test: RegExp): ClusterTwists {
  return {
    disk: (state) => {
      state.liesAbout = (path) => test.test(path);
    },
  };
}

function twist(change: (ports: NodePorts) => Partial<NodePorts>): ClusterTwists {
  return { ports: (ports) => ({ ...ports, ...change(ports) }) };
}

const raftMutants: readonly Mutant[] = [
  {
    name: 'vote-not-written',
    about: 'term and vote are answered but never written',
    plant: () => patch(HardStateFiles.prototype, 'save', () => async () => undefined),
  },
  {
    name: 'ballot-not-synced',
    about: 'term and vote are written but not synced',
    twists: liar(/hard-state/),
  },
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
    name: 'old-terms-committed',
    about: 'a leader commits entries of earlier terms by counting',
    plant: () =>
      patch(
        RaftLog.prototype,
        'maybeCommit',
        (real) =>
          function maybeCommit(this: RaftLog, id) {
            const term = this.term(id.index) ?? id.term;
            return real.call(this as never, { index: id.index, term } as never) as boolean;
          },
      ),
  },
  {
    name: 'follower-commits-all',
    about: 'a follower applies what it has, committed or not',
    plant: () =>
      patch(
        RaftLog.prototype,
        'commitTo',
        (real) =>
          function commitTo(this: RaftLog) {
            real.call(this as never, this.lastIndex() as never);
          },
      ),
  },
  {
    name: 'no-pre-vote',
    about: 'a node that is cut off raises its term again and again',
    twists: twist(() => ({ raftOptions: { preVote: false } })),
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
    faults: ['pause-leader', 'isolate-leader'],
    twists: twist(() => ({ raftOptions: { readOnlyOption: 'lease-based' } })),
  },
  {
    name: 'read-confirmed-by-one',
    about: 'reads are answered when any one node has confirmed them',
    faults: ['split'],
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

const diskMutants: readonly Mutant[] = [
  {
    name: 'log-not-synced',
    about: 'entries are acknowledged before they are durable',
    twists: liar(/\.wal$/),
  },
  {
    name: 'new-segment-not-synced',
    about: 'the folder is not synced when a segment begins',
    twists: liar(/^raft\/wal$/),
  },
  {
    name: 'checksum-ignored',
    about: 'torn records of the log are taken for whole',
    faults: ['power-loss', 'power-loss-of-all', 'crash-at-failpoint', 'slow-disk'],
    twists: twist(() => ({ checksum: { crc32: () => 0 } })),
  },
  {
    name: 'snapshot-not-written',
    about: 'the log is cut for a snapshot that is nowhere',
    plant: () => patch(SnapshotFiles.prototype, 'save', () => async (snapshot) => snapshot.index),
  },
  {
    name: 'snapshot-without-members',
    about: 'a snapshot lacks the configuration',
    plant: () =>
      patch(
        SnapshotFiles.prototype,
        'save',
        (real) =>
          function save(this: SnapshotFiles, snapshot) {
            return real.call(this as never, { ...snapshot, confState: emptyConfState } as never) as Promise<LogIndex>;
          },
      ),
  },
  {
    name: 'old-log-behind-snapshot',
    about: 'the log is not emptied when a snapshot is installed',
    plant: () =>
      patch(
        RaftWal.prototype,
        'append',
        (real) =>
          async function append(this: RaftWal, records) {
            const kept = records.filter(({ kind }) => kind !== 'reset');
            if (kept.length > 0) await (real.call(this as never, kept as never) as Promise<void>);
          },
      ),
  },
  {
    name: 'answered-before-durable',
    about: 'a write is called durable while it is still under way',
    plant: () =>
      patch(
        HardStateFiles.prototype,
        'save',
        (real) =>
          async function save(this: HardStateFiles, ballot) {
            void (real.call(this as never, ballot as never) as Promise<void>).catch(() => undefined);
          },
      ),
  },
];

const metadataMutants: readonly Mutant[] = [
  {
    name: 'isr-epoch-ignored',
    about: 'a change of the ISR is not compared with the epochs of its partition',
    plant: () =>
      patchCommands((entry, machine) => {
        const { timestampMs, command } = splitEntryData(entry.data);
        const decoded = decodeCommand(command);
        if (decoded.kind !== 'change-isr') return entry;
        const partition = machine.image.partition(decoded.topicId, decoded.partition);
        if (partition === undefined || partition.leaderId !== decoded.brokerId) return entry;
        const { leaderEpoch, partitionEpoch } = partition;
        return {
          ...entry,
          data: joinEntryData({ timestampMs, command: encodeCommand({ ...decoded, leaderEpoch, partitionEpoch }) }),
        };
      }),
  },
  {
    name: 'broker-epoch-ignored',
    about: 'commands of an earlier life of a broker are carried out',
    plant: () =>
      patchCommands((entry, machine) => {
        const { timestampMs, command } = splitEntryData(entry.data);
        const decoded = decodeCommand(command);
        if (!('brokerEpoch' in decoded)) return entry;
        const brokerEpoch = machine.image.broker(decoded.brokerId)?.brokerEpoch ?? decoded.brokerEpoch;
        return { ...entry, data: joinEntryData({ timestampMs, command: encodeCommand({ ...decoded, brokerEpoch }) }) };
      }),
  },
  {
    name: 'feed-skips-an-event',
    about: 'the metadata feed leaves out the first event of every seventh change',
    plant: () => {
      let count = 0;
      return patch(
        MetadataFeed.prototype,
        'add',
        (real) =>
          function add(this: MetadataFeed, events, version) {
            const told = ++count % 7 === 0 ? events.slice(1) : events;
            real.call(this as never, told as never, version as never);
          },
      );
    },
  },
  {
    name: 'snapshot-too-old',
    about: 'a snapshot holds the state of the one before',
    plant: () => {
      const before = new WeakMap<StateMachine, Uint8Array>();
      return patch(
        StateMachine.prototype,
        'snapshotBytes',
        (real) =>
          function snapshotBytes(this: StateMachine) {
            const now = real.call(this as never) as Uint8Array;
            const old = before.get(this) ?? now;
            before.set(this, now);
            return old;
          },
      );
    },
  },
  {
    name: 'answered-too-early',
    about: 'a proposal is answered when the entry before it is applied',
    plant: () =>
      patch(
        Proposals.prototype,
        'settle',
        (real) =>
          function settle(this: Proposals, entry, outcome) {
            real.call(this as never, { ...entry, index: entry.index + 1 } as never, outcome as never);
          },
      ),
  },
  {
    name: 'applied-twice',
    about: 'a restart applies a command of the snapshot again',
    plant: () =>
      patch(
        DiskRaftStorage.prototype,
        'saveSnapshot',
        (real) =>
          function saveSnapshot(this: DiskRaftStorage, snapshot, kept) {
            const index = (snapshot.index - 1) as LogIndex;
            return real.call(this as never, { ...snapshot, index } as never, kept as never) as Promise<void>;
          },
      ),
  },
];

export const mutants: readonly Mutant[] = [...raftMutants, ...diskMutants, ...metadataMutants];
