import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  AppendEntriesRequestSchema,
  AppendEntriesResponseSchema,
  InstallSnapshotResponseSchema,
  LogEntrySchema,
  PreVoteRequestSchema,
  RaftConfigurationSchema,
  RaftEnvelopeSchema,
  VoteRequestSchema,
  VoteResponseSchema,
} from '@fleetmq/gen/controller/raft';
import type { EndpointImage } from '@fleetmq/metadata';
import { type ConfChange, createMessage, type Entry, encodeConfChange, type Message } from '@fleetmq/raft';
import type { BrokerEpoch, BrokerId, LogIndex, MetadataVersion, PartitionId, Term, TopicId } from '@fleetmq/shared';
import fc from 'fast-check';
import type { MetadataCommand } from '../domain/commands.ts';
import { decodeCommand, encodeCommand } from './commands.ts';
import { joinEntryData, splitEntryData } from './entry-data.ts';
import { encodeMembership } from './membership.ts';
import { configurationFromProto, configurationToProto, entryFromProto, entryToProto } from './raft-entries.ts';
import * as wire from './raft-messages.ts';

const envelope = create(RaftEnvelopeSchema, { clusterId: 'c', senderId: 1, targetId: 2, senderDiskId: 'd' });
const ends = { from: 1, to: 2 };
const back = { from: 2, to: 1 };
const terms = fc.integer({ min: 1, max: 1e12 }).map((value) => value as Term);
const indexes = fc.integer({ min: 0, max: 2 ** 52 }).map((value) => value as LogIndex);
const bytes = fc.uint8Array({ maxLength: 40 });
const nodeIds = fc.integer({ min: 1, max: 2 ** 31 - 1 });

const changeTypes = fc.constantFrom(
  'ConfChangeAddNode',
  'ConfChangeRemoveNode',
  'ConfChangeUpdateNode',
  'ConfChangeAddLearnerNode',
);
const singles = fc.record({ type: changeTypes, nodeId: nodeIds });
const members = fc.record({ controllerId: nodeIds, diskId: fc.string(), host: fc.string(), port: fc.nat(65_535) });
const contexts = fc.oneof(
  fc.constant(new Uint8Array(0)),
  fc
    .record({
      members: fc.array(members),
      promoting: fc.array(nodeIds),
      retired: fc.array(members),
      replacing: fc.array(fc.record({ controllerId: nodeIds, replacedId: nodeIds })),
    })
    .map(encodeMembership),
);
const changes: fc.Arbitrary<ConfChange> = fc.oneof(
  fc.tuple(singles, contexts).map(([single, context]): ConfChange => ({ kind: 'one-step', ...single, context })),
  fc.record({
    kind: fc.constant('joint'),
    transition: fc.constantFrom(
      'ConfChangeTransitionAuto',
      'ConfChangeTransitionJointImplicit',
      'ConfChangeTransitionJointExplicit',
    ),
    changes: fc.array(singles, { maxLength: 4 }),
    context: contexts,
  }),
);

const payloads: fc.Arbitrary<Pick<Entry, 'type' | 'data'>> = fc.oneof(
  fc.constant({ type: 'EntryNormal' as const, data: new Uint8Array(0) }),
  fc.constant({ type: 'EntryConfChangeV2' as const, data: new Uint8Array(0) }),
  fc
    .record({ timestampMs: fc.integer({ min: 0, max: 4e12 }), command: bytes })
    .map((data) => ({ type: 'EntryNormal' as const, data: joinEntryData(data) })),
  changes.map((change) => encodeConfChange(change)),
);
const entries = fc
  .tuple(payloads, terms, indexes)
  .map(([payload, term, index]): Entry => ({ ...payload, term, index }));

function assertSame(actual: Message, expected: Message): void {
  assert.deepEqual(actual, expected);
}

describe('Raft on the wire', () => {
  test('entries arrive as they were, of every kind', () => {
    fc.assert(
      fc.property(entries, (entry) => {
        const message = fromBinary(LogEntrySchema, toBinary(LogEntrySchema, entryToProto(entry)));
        assert.deepEqual(entryFromProto(message), entry);
      }),
    );
  });

  test('configurations', () => {
    const ids = fc.array(nodeIds, { maxLength: 3 });
    const states = fc.record(
      {
        voters: ids,
        votersOutgoing: ids,
        learners: ids,
        learnersNext: ids,
        autoLeave: fc.boolean(),
      },
      { noNullPrototype: true },
    );
    fc.assert(
      fc.property(states, (state) => {
        const sent = toBinary(RaftConfigurationSchema, configurationToProto(state));
        assert.deepEqual(configurationFromProto(fromBinary(RaftConfigurationSchema, sent)), state);
      }),
    );
  });

  test('votes and pre-votes', () => {
    fc.assert(
      fc.property(terms, indexes, terms, fc.boolean(), (term, index, logTerm, transfer) => {
        const vote = createMessage('MsgVote', { ...ends, term, index, logTerm, transfer });
        const sent = toBinary(VoteRequestSchema, wire.voteRequest(vote, envelope));
        assertSame(wire.voteFromProto(fromBinary(VoteRequestSchema, sent), ends, false), vote);
        const preVote = createMessage('MsgPreVote', { ...ends, term, index, logTerm, transfer });
        const asked = toBinary(PreVoteRequestSchema, wire.preVoteRequest(preVote, envelope));
        assertSame(wire.voteFromProto(fromBinary(PreVoteRequestSchema, asked), ends, true), preVote);
        const committedEntry = transfer && index > 0 ? { index, term: logTerm } : undefined;
        const answer = createMessage('MsgVoteResp', { ...back, term, reject: transfer, committedEntry });
        const answered = toBinary(VoteResponseSchema, create(VoteResponseSchema, wire.verdict(answer, envelope)));
        assertSame(wire.voteResponseFromProto(fromBinary(VoteResponseSchema, answered), back, false), answer);
      }),
    );
  });

  test('appends, heartbeats and their answers', () => {
    const readSequences = fc.integer({ min: 0, max: 1e9 });
    fc.assert(
      fc.property(terms, indexes, terms, indexes, fc.array(entries, { maxLength: 3 }), readSequences, (...values) => {
        const [term, index, logTerm, commit, list, readSequence] = values;
        const through = (message: Message): Message => {
          const sent = toBinary(AppendEntriesRequestSchema, wire.appendRequest(message, envelope));
          return wire.appendFromProto(fromBinary(AppendEntriesRequestSchema, sent), ends);
        };
        const answerThrough = (message: Message): Message => {
          const sent = toBinary(AppendEntriesResponseSchema, wire.appendResponse(message, envelope));
          return wire.appendResponseFromProto(fromBinary(AppendEntriesResponseSchema, sent), back);
        };
        const append = createMessage('MsgApp', { ...ends, term, index, logTerm, commit, entries: list });
        assertSame(through(append), append);
        const heartbeat = createMessage('MsgHeartbeat', { ...ends, term, commit, readSequence });
        assertSame(through(heartbeat), heartbeat);
        const accepted = createMessage('MsgAppResp', { ...back, term, index });
        assertSame(answerThrough(accepted), accepted);
        const refusal = { reject: true, rejectHint: commit, logTerm };
        const refused = createMessage('MsgAppResp', { ...back, term, index, ...refusal });
        assertSame(answerThrough(refused), refused);
        const beaten = createMessage('MsgHeartbeatResp', { ...back, term, readSequence });
        assertSame(answerThrough(beaten), beaten);
        const installed = toBinary(InstallSnapshotResponseSchema, wire.snapshotResponse(accepted, envelope, 5));
        const received = fromBinary(InstallSnapshotResponseSchema, installed);
        assertSame(wire.snapshotResponseFromProto(received, back), accepted);
      }),
    );
  });

  test('what is no entry is refused', () => {
    const bad = [
      create(LogEntrySchema, { type: 7 as never }),
      create(LogEntrySchema, { type: 0, data: Uint8Array.of(1) }),
      create(LogEntrySchema, { type: 1, data: Uint8Array.of(1) }),
      create(LogEntrySchema, { index: 2n ** 60n }),
    ];
    for (const message of bad) assert.throws(() => entryFromProto(message));
    assert.throws(() => splitEntryData(new Uint8Array(3)), { code: 'CORRUPT_LOG' });
  });
});

describe('commands in the log', () => {
  const life = { brokerId: 7 as BrokerId, brokerEpoch: 12 as BrokerEpoch };
  const topicId = 'ab'.repeat(16) as TopicId;
  const endpoint: EndpointImage = { listener: 'client', host: 'h', port: 1, tls: false };
  const commands: readonly MetadataCommand[] = [
    {
      kind: 'register-broker',
      brokerId: life.brokerId,
      incarnationId: 'i',
      rackId: 'r',
      endpoints: [endpoint],
      diskId: 'd',
      cleanShutdown: true,
      features: new Map([
        ['a', 1],
        ['b', 2],
      ]),
    },
    { kind: 'fence-broker', ...life },
    { kind: 'unfence-broker', ...life },
    { kind: 'unregister-broker', brokerId: life.brokerId },
    { kind: 'unfence-broker', ...life, cancelDrain: true },
    { kind: 'drain-broker', ...life },
    { kind: 'drain-broker', ...life, stopping: true },
    { kind: 'drain-broker', ...life, keep: true },
    {
      kind: 'create-topic',
      name: 'orders',
      topicId,
      assignments: [[1, 2] as BrokerId[], [2, 1] as BrokerId[]],
      config: new Map([['retention.ms', '5']]),
      internal: true,
    },
    { kind: 'delete-topic', topicId },
    { kind: 'add-partitions', topicId, currentCount: 3, assignments: [[1] as BrokerId[]] },
    { kind: 'alter-config', topicId, set: new Map([['a', 'b']]), remove: ['c', 'd'], expectedVersion: undefined },
    { kind: 'alter-config', topicId: undefined, set: new Map(), remove: ['c'], expectedVersion: 7 as MetadataVersion },
    {
      kind: 'change-isr',
      ...life,
      topicId,
      partition: 4 as PartitionId,
      leaderEpoch: 5 as never,
      partitionEpoch: 6 as never,
      inSyncReplicas: [life],
    },
    { kind: 'elect-leader', topicId, partition: 4 as PartitionId, targetId: 0 as BrokerId, leaderEpoch: undefined },
    { kind: 'elect-leader', topicId, partition: 4 as PartitionId, targetId: 3 as BrokerId, leaderEpoch: 9 as never },
    { kind: 'allocate-producer-ids', ...life, count: 100 },
    { kind: 'set-cluster-id', clusterId: 'c', features: new Map([['a', 2]]) },
    {
      kind: 'start-reassignment',
      reassignmentId: 'r',
      moves: [
        {
          topicId,
          partition: 4 as PartitionId,
          targetReplicas: [3, 2] as BrokerId[],
          sourceReplicas: [1, 2] as BrokerId[],
        },
      ],
    },
    { kind: 'start-reassignment', reassignmentId: 'r', moves: [], bytesPerSecondMax: 7 },
    { kind: 'cancel-reassignment', reassignmentId: 'r' },
    { kind: 'set-features', levels: new Map([['a', 2]]) },
    { kind: 'elect-proven', replicas: [{ ...life, topicId, partition: 4 as PartitionId, leaderEpoch: 9 as never }] },
    { kind: 'fail-replica', ...life, topicId, partition: 4 as PartitionId },
  ];

  for (const command of commands) {
    test(command.kind, () => assert.deepEqual(decodeCommand(encodeCommand(command)), command));
  }

  test('a command of a newer version stops the node instead of being skipped', () => {
    assert.throws(() => decodeCommand(new Uint8Array(0)), { code: 'UNSUPPORTED_VERSION' });
  });
});
