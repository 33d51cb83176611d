/**
 * Checks on messages before they reach the state machine: what no correct peer sends is refused with INVALID_REQUEST
 * instead of tripping an assert, since a peer's bug, or a foreign message on our port, must not stop this node.
 * Whether a message is up to date or believable is not decided here.
 */
import { DomainError, isDomainError } from '@fleetmq/shared';
import { restoreConfig } from './conf-changer.ts';
import type { RaftCore } from './core.ts';
import {
  isEmptySnapshot,
  isLocalThread,
  isLocalType,
  isResponseType,
  type Message,
  type MessageType,
  type Snapshot,
  shift,
} from './messages.ts';

const termlessTypes: ReadonlySet<MessageType> = new Set(['MsgProp', 'MsgReadIndex', 'MsgTransferLeader']);

const voteAnswers: ReadonlySet<MessageType> = new Set(['MsgVoteResp', 'MsgPreVoteResp']);

/** Undefined when the message may be stepped. */
export function refusalOf(core: RaftCore, message: Message): DomainError | undefined {
  const { type, from, term } = message;
  const isFromThread = isLocalThread(from);
  if (isLocalType(type) && !isFromThread) return refused('raft: cannot step raft local message');
  if (isResponseType(type) && !isFromThread && !core.tracker.progress.has(from)) {
    return refused('raft: cannot step as peer not found');
  }
  if (!Number.isSafeInteger(from) || from < 1) return refused(`${type} has sender ${from}`);
  if (!Number.isSafeInteger(term) || term < 0) return refused(`${type} has term ${term}`);
  // Term 0 marks what a node tells itself: from outside it would pass all comparisons of terms.
  if (term === 0 && !isFromThread && !termlessTypes.has(type)) return refused(`${type} without a term`);
  if (message.committedEntry !== undefined && !voteAnswers.has(type)) return refused(`${type} with a committed entry`);
  if (type === 'MsgProp' && message.entries.length === 0) return refused('MsgProp without entries');
  if (type === 'MsgApp') return refusalOfAppend(message);
  if (type === 'MsgSnap') return refusalOfSnapshot(message.snapshot);
  return undefined;
}

function refusalOfAppend(message: Message): DomainError | undefined {
  let { index, logTerm } = message;
  for (const entry of message.entries) {
    index = shift(index, 1);
    if (entry.index !== index) return refused(`MsgApp has entry ${entry.index} where ${index} must follow`);
    if (entry.term < logTerm || entry.term > message.term) {
      return refused(`MsgApp of term ${message.term} has an entry of term ${entry.term} behind one of ${logTerm}`);
    }
    logTerm = entry.term;
  }
  return undefined;
}

function refusalOfSnapshot(snapshot: Snapshot | undefined): DomainError | undefined {
  if (snapshot === undefined || isEmptySnapshot(snapshot)) return refused('MsgSnap without a snapshot');
  try {
    restoreConfig({ lastIndex: snapshot.index, maxInflightMsgs: 1, maxInflightBytes: 1 }, snapshot.confState);
    return undefined;
  } catch (error) {
    if (isDomainError(error)) return error;
    throw error;
  }
}

function refused(reason: string): DomainError {
  return new DomainError('INVALID_REQUEST', reason);
}
