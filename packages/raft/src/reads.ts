/**
 * Answers to ReadIndex requests on a leader (read-queue.ts keeps them). A read is never answered before an entry of the
 * own term is committed: until then the commit index may be behind what an earlier leader answered (section 6.4).
 */
import { DomainError, type LogIndex } from '@fleetmq/shared';
import { hasCommittedInTerm, type RaftCore } from './core.ts';
import { hex } from './logger.ts';
import { emptyBytes, type Message, noNode } from './messages.ts';
import { broadcastHeartbeat } from './replication.ts';
import { send } from './send.ts';

/** Takes a read on a leader. The error says why it was refused: nobody will answer it. */
export function readOnLeader(core: RaftCore, request: Message): DomainError | undefined {
  const { logger, maxPendingReads } = core.config;
  const waiting = core.reads.length + core.readStates.length;
  if (waiting >= maxPendingReads) {
    logger.warn(`${hex(core.id)} has ${waiting} pending reads; dropping index reading msg`);
    return new DomainError(
      'LIMIT_EXCEEDED',
      `${waiting} reads are waiting for an answer; the limit is ${maxPendingReads}`,
    );
  }
  if (hasCommittedInTerm(core)) confirmOrAnswer(core, request);
  else core.reads.addEarly(request);
  return undefined;
}

/** A read where no leader is known. */
export function dropRead(core: RaftCore): DomainError {
  core.config.logger.info(`${hex(core.id)} no leader at term ${core.term}; dropping index reading msg`);
  return new DomainError('NOT_AVAILABLE', `no leader is known at term ${core.term}`);
}

/** Called when the commit index rose: reads that came before the first commit of the term get their turn. */
export function releaseEarlyReads(core: RaftCore): void {
  if (!hasCommittedInTerm(core)) return;
  for (const request of core.reads.takeEarly()) confirmOrAnswer(core, request);
}

/** Called when a confirmation came in, or the quorum changed. */
export function releaseConfirmedReads(core: RaftCore): void {
  for (const { request, index } of core.reads.takeConfirmed(core.tracker.config.voters)) {
    answer(core, request, index);
  }
}

function confirmOrAnswer(core: RaftCore, request: Message): void {
  const { committed } = core.log;
  if (core.tracker.isOnlyVoter(core.id) || core.config.readOnlyOption === 'lease-based') {
    answer(core, request, committed);
    return;
  }
  core.reads.add(request, committed);
  core.reads.acknowledge(core.id, core.reads.sequence);
  broadcastHeartbeat(core);
}

function answer(core: RaftCore, request: Message, index: LogIndex): void {
  const context = request.context ?? emptyBytes;
  if (request.from === noNode || request.from === core.id) core.readStates.push({ index, context });
  else send(core, 'MsgReadIndexResp', { to: request.from, index, context });
}
