/**
 * Log entries and configurations: the Raft core's values <-> messages of `controller/raft.proto`, both ways. Entries that
 * travel arrive with equal index, term, type and meaning; a normal entry's data arrives byte for byte.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import {
  type LogEntry,
  LogEntrySchema,
  LogEntryType,
  type RaftConfiguration,
  RaftConfigurationChangeSchema,
  RaftConfigurationSchema,
  type RaftPeer,
  type RaftSingleChange,
} from '@fleetmq/gen/controller/raft';
import {
  type ConfChange,
  type ConfChangeSingle,
  type ConfChangeTransition,
  type ConfChangeType,
  type ConfState,
  decodeConfChange,
  type Entry,
  encodeConfChange,
} from '@fleetmq/raft';
import { DomainError, type LogIndex, type Term, toSafeInteger } from '@fleetmq/shared';
import { memberOf } from '../domain/membership.ts';
import { joinEntryData, splitEntryData } from './entry-data.ts';
import { decodeMembership, memberToProto } from './membership.ts';

const kinds: Readonly<Record<ConfChangeType, string>> = {
  ConfChangeAddNode: 'add_voter',
  ConfChangeAddLearnerNode: 'add_learner',
  ConfChangeRemoveNode: 'remove',
  ConfChangeUpdateNode: 'update',
};
const transitions: Readonly<Record<ConfChangeTransition, string>> = {
  ConfChangeTransitionAuto: 'auto',
  ConfChangeTransitionJointImplicit: 'implicit',
  ConfChangeTransitionJointExplicit: 'explicit',
};

export function entryToProto(entry: Entry): LogEntry {
  const place = { term: BigInt(entry.term), index: BigInt(entry.index) };
  if (entry.type !== 'EntryNormal') {
    // The leader's own request to leave a joint configuration has no bytes at all, and keeps none.
    const data = entry.data.length === 0 ? entry.data : changeToBytes(decodeConfChange(entry.type, entry.data));
    return create(LogEntrySchema, { ...place, type: LogEntryType.LOG_CONFIGURATION, data });
  }
  if (entry.data.length === 0) return create(LogEntrySchema, { ...place, type: LogEntryType.LOG_NOOP });
  const { timestampMs: ms, command } = splitEntryData(entry.data);
  const timestamp = timestampFromMs(ms);
  return create(LogEntrySchema, { ...place, type: LogEntryType.LOG_COMMAND, data: command, timestamp });
}

/** INVALID_REQUEST for what is no entry. */
export function entryFromProto(message: LogEntry): Entry {
  const term = toSafeInteger<Term>(message.term, 'term');
  const index = toSafeInteger<LogIndex>(message.index, 'log index');
  switch (message.type) {
    case LogEntryType.LOG_NOOP:
      return { term, index, type: 'EntryNormal', data: new Uint8Array(0) };
    case LogEntryType.LOG_CONFIGURATION: {
      if (message.data.length === 0) return { term, index, type: 'EntryConfChangeV2', data: message.data };
      return { term, index, ...encodeConfChange(changeFromBytes(message.data)) };
    }
    case LogEntryType.LOG_COMMAND: {
      if (message.timestamp === undefined) throw new DomainError('INVALID_REQUEST', `entry ${index} has no timestamp`);
      const data = joinEntryData({ timestampMs: timestampMs(message.timestamp), command: message.data });
      return { term, index, type: 'EntryNormal', data };
    }
    default:
      throw new DomainError(
        'INVALID_REQUEST',
        `entry ${index} has type ${message.type}, which this version does not know`,
      );
  }
}

/** Without the members' addresses, which are configuration of each node. */
export function configurationToProto(state: ConfState): RaftConfiguration {
  return create(RaftConfigurationSchema, {
    voters: [...state.voters],
    votersOutgoing: [...state.votersOutgoing],
    learners: [...state.learners],
    learnersNext: [...state.learnersNext],
    autoLeave: state.autoLeave,
  });
}

export function configurationFromProto(message: RaftConfiguration): ConfState {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = message;
  return { voters, votersOutgoing, learners, learnersNext, autoLeave };
}

function changeToBytes(change: ConfChange): Uint8Array {
  const isJoint = change.kind === 'joint';
  const changes = (isJoint ? change.changes : [change]).map(({ type, nodeId }) => ({
    kind: kinds[type],
    controllerId: nodeId,
    ...peerOf(change.context, nodeId),
  }));
  const message = create(RaftConfigurationChangeSchema, {
    changes,
    transition: isJoint ? transitions[change.transition] : '',
    context: change.context,
    singleStep: !isJoint,
  });
  return toBinary(RaftConfigurationChangeSchema, message);
}

/** For readers of the wire; what counts is the context. */
function peerOf(context: Uint8Array, controllerId: number): { peer: RaftPeer } | undefined {
  const member = memberOf(decodeMembership(context), controllerId);
  return member && { peer: memberToProto(member) };
}

function changeFromBytes(bytes: Uint8Array): ConfChange {
  const message = fromBinary(RaftConfigurationChangeSchema, bytes);
  const changes = message.changes.map(singleFromProto);
  const { context } = message;
  // Bytes that nobody could apply must not get into the log.
  decodeMembership(context);
  if (message.singleStep) {
    const single = changes[0];
    if (single === undefined) throw new DomainError('INVALID_REQUEST', 'a change of one step names no controller');
    return { kind: 'one-step', ...single, context };
  }
  return { kind: 'joint', transition: nameOf(transitions, message.transition || 'auto'), changes, context };
}

function singleFromProto(message: RaftSingleChange): ConfChangeSingle {
  return { type: nameOf(kinds, message.kind), nodeId: message.controllerId };
}

function nameOf<Name extends string>(table: Readonly<Record<Name, string>>, text: string): Name {
  for (const name of Object.keys(table) as Name[]) if (table[name] === text) return name;
  throw new DomainError('INVALID_REQUEST', `a configuration change has "${text}", which this version does not know`);
}
