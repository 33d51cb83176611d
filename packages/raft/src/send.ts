/**
 * The one way out for messages: fills in sender and term, and decides what must wait for the disk.
 *
 * Votes and answers to appends promise something that must survive a crash, so they wait until everything unstable at this
 * moment is durable; rejections too, for they may rest on a vote or on entries that are not. Whatever a node tells itself
 * waits likewise, so that its own vote and its own copy of an entry count only once they are durable. A request for a vote
 * promises the log that it names (config.ts, durableVoteRequests).
 */
import { assert } from '@fleetmq/shared';
import type { RaftCore } from './core.ts';
import type { Message, MessageType } from './messages.ts';
import { createMessage, noNode } from './messages.ts';

const campaignTypes: ReadonlySet<MessageType> = new Set(['MsgVote', 'MsgVoteResp', 'MsgPreVote', 'MsgPreVoteResp']);
const durableTypes: ReadonlySet<MessageType> = new Set(['MsgAppResp', 'MsgVoteResp', 'MsgPreVoteResp']);

export function send(core: RaftCore, type: MessageType, fields: Partial<Omit<Message, 'type'>>): void {
  const from = fields.from ?? noNode;
  const message = createMessage(type, {
    ...fields,
    from: from === noNode ? core.id : from,
    term: termOf(core, type, fields),
  });
  if (durableTypes.has(type) || (type === 'MsgVote' && core.config.durableVoteRequests)) {
    core.messagesAfterAppend.push(message);
  } else {
    assert(message.to !== core.id, `message should not be self-addressed when sending ${type}`);
    core.messages.push(message);
  }
}

function termOf(core: RaftCore, type: MessageType, fields: Partial<Message>): Message['term'] {
  const term = fields.term ?? 0;
  if (campaignTypes.has(type)) {
    // A pre-vote is for a term that nobody is in yet, and its answer repeats it: only the caller knows.
    assert(term !== 0, `term should be set when sending ${type}`);
    return term as Message['term'];
  }
  assert(term === 0, `term should not be set when sending ${type} (was ${term})`);
  // A proposal or a read that is passed on belongs to no term: whoever leads may take it.
  return type === 'MsgProp' || type === 'MsgReadIndex' ? (0 as Message['term']) : core.term;
}
