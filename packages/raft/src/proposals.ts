/**
 * How entries get into a leader's log: proposals of the host, forwarded ones, and the leader's own.
 *
 * Refused (PROPOSAL_DROPPED) while leadership is being handed over, when this leader is no member any more, and when the
 * uncommitted tail is full. At most one configuration change is in flight: one that comes too early or cannot be applied
 * to the active configuration becomes an empty entry, so that its place in a batch stays the same.
 */
import { DomainError, isDomainError } from '@fleetmq/shared';
import { applyToConfig } from './conf-apply.ts';
import { asJointChange, type ConfChange, decodeConfChange, encodeConfChange, leavesJoint } from './conf-change.ts';
import type { RaftCore } from './core.ts';
import { describeConfChange, describeConfig } from './describe-config.ts';
import { payloadSize } from './entry-size.ts';
import { hex } from './logger.ts';
import { type Entry, emptyBytes, noIndex, noNode, noTerm, shift } from './messages.ts';
import { broadcastAppend } from './replication.ts';
import { send } from './send.ts';

/** An entry that has no place in a log yet. */
export type Proposal = Pick<Entry, 'type' | 'data'>;

export function proposalDropped(core: RaftCore): DomainError {
  const hint = core.lead === noNode || core.lead === core.id ? {} : { leaderHint: String(core.lead) };
  return new DomainError('PROPOSAL_DROPPED', 'raft proposal dropped', hint);
}

/** An entry as MsgProp carries it: place unknown. */
export function createProposal({ type, data }: Proposal): Entry {
  return { term: noTerm, index: noIndex, type, data };
}

export function createConfChangeProposal(change: ConfChange): Entry {
  return createProposal(encodeConfChange(change));
}

/** The leader's own request to leave a joint configuration: no bytes, so that no limit can refuse it. */
export const autoLeaveProposal: Entry = createProposal({ type: 'EntryConfChangeV2', data: emptyBytes });

/** Takes proposals on a leader. The error says why none of them was taken. */
export function proposeOnLeader(core: RaftCore, proposals: readonly Proposal[]): DomainError | undefined {
  const { logger } = core.config;
  if (!core.tracker.progress.has(core.id)) return proposalDropped(core);
  if (core.leadTransferee !== noNode) {
    logger.debug(
      `${hex(core.id)} [term ${core.term}] transfer leadership to ${hex(core.leadTransferee)} is in progress; dropping proposal`,
    );
    return proposalDropped(core);
  }
  const { pendingConfIndex } = core;
  let checked: readonly Proposal[];
  try {
    checked = checkConfChanges(core, proposals);
  } catch (error) {
    if (isDomainError(error)) return error;
    throw error;
  }
  if (!appendEntries(core, checked)) {
    core.pendingConfIndex = pendingConfIndex;
    return proposalDropped(core);
  }
  broadcastAppend(core);
  return undefined;
}

/** Gives the entries their places at the end of the log. False when the uncommitted tail is full: none was appended. */
export function appendEntries(core: RaftCore, proposals: readonly Proposal[]): boolean {
  const last = core.log.lastIndex();
  const entries = proposals.map(
    ({ type, data }, position): Entry => ({ term: core.term, index: shift(last, 1 + position), type, data }),
  );
  if (!increaseUncommitted(core, entries)) {
    core.config.logger.warn(
      `${hex(core.id)} appending new entries to log would exceed uncommitted entry size limit; dropping proposal`,
    );
    return false;
  }
  core.log.append(entries);
  // The leader acknowledges its own entries, but only once they are durable (send.ts).
  send(core, 'MsgAppResp', { to: core.id, index: core.log.lastIndex() });
  return true;
}

/** An empty tail takes any proposal, and empty entries always pass. */
function increaseUncommitted(core: RaftCore, entries: readonly Entry[]): boolean {
  const bytes = payloadSize(entries);
  const total = core.uncommittedBytes + bytes;
  if (core.uncommittedBytes > 0 && bytes > 0 && total > core.config.maxUncommittedEntriesSize) return false;
  core.uncommittedBytes = total;
  return true;
}

export function reduceUncommitted(core: RaftCore, entries: readonly Entry[]): void {
  core.uncommittedBytes = Math.max(0, core.uncommittedBytes - payloadSize(entries));
}

/** Throws INVALID_REQUEST when an entry's bytes are no configuration change. Changes nothing then. */
function checkConfChanges(core: RaftCore, proposals: readonly Proposal[]): readonly Proposal[] {
  const changes = proposals.map(({ type, data }) =>
    type === 'EntryNormal' ? undefined : decodeConfChange(type, data),
  );
  const last = core.log.lastIndex();
  return proposals.map((proposal, position) => {
    const change = changes[position];
    if (change === undefined) return proposal;
    const reason = core.config.disableConfChangeValidation ? undefined : reasonAgainst(core, change);
    if (reason === undefined) {
      core.pendingConfIndex = shift(last, 1 + position);
      return proposal;
    }
    core.config.logger.info(
      `${hex(core.id)} ignoring conf change ${describeConfChange(change)} at config ${describeConfig(core.tracker.config)}: ${reason}`,
    );
    return { type: 'EntryNormal', data: emptyBytes };
  });
}

function reasonAgainst(core: RaftCore, change: ConfChange): string | undefined {
  const isJoint = core.tracker.config.voters.outgoing.size > 0;
  const joint = asJointChange(change);
  const wantsLeave = joint.changes.length === 0;
  if (core.pendingConfIndex > core.log.applied) {
    return `possible unapplied conf change at index ${core.pendingConfIndex} (applied to ${core.log.applied})`;
  }
  if (isJoint && !wantsLeave) return 'must transition out of joint config first';
  if (!isJoint && wantsLeave) return 'not in joint state; refusing empty conf change';
  if (leavesJoint(joint)) return undefined;
  // The active configuration is the one that this change will meet: try it, since a committed change that cannot be
  // applied would stop every node.
  try {
    applyToConfig(core, joint);
    return undefined;
  } catch (error) {
    if (isDomainError(error)) return error.message;
    throw error;
  }
}
