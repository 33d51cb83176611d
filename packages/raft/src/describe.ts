/**
 * Text forms of messages, entries, states and Readies, for logs and transcripts. The wording is that of etcd's Raft
 * library, which the transcripts compare letter by letter; node ids are hexadecimal in messages and decimal in states.
 */
import { isDomainError } from '@fleetmq/shared';
import { asJointChange, decodeConfChange } from './conf-change.ts';
import { describeChanges } from './describe-config.ts';
import { hex } from './logger.ts';
import {
  appendThread,
  applyThread,
  type ConfState,
  type Entry,
  type HardState,
  isEmptySnapshot,
  type Message,
  type NodeId,
  noNode,
  type ReadState,
  type Snapshot,
  type SoftState,
} from './messages.ts';
import type { Ready } from './ready.ts';

/** `Term:1 Vote:2 Commit:3` */
export function describeHardState(state: HardState): string {
  const vote = state.vote === noNode ? '' : ` Vote:${state.vote}`;
  return `Term:${state.term}${vote} Commit:${state.commit}`;
}

/** `Lead:1 State:StateFollower` */
export function describeSoftState(state: SoftState): string {
  return `Lead:${state.lead} State:${state.role}`;
}

export function describeConfState(state: ConfState): string {
  const list = (ids: readonly NodeId[]): string => `[${ids.join(' ')}]`;
  return `Voters:${list(state.voters)} VotersOutgoing:${list(state.votersOutgoing)} Learners:${list(state.learners)} LearnersNext:${list(state.learnersNext)} AutoLeave:${state.autoLeave}`;
}

export function describeSnapshot(snapshot: Snapshot): string {
  return `Index:${snapshot.index} Term:${snapshot.term} ConfState:${describeConfState(snapshot.confState)}`;
}

/** `1/12 EntryNormal "data"`, `1/13 EntryConfChangeV2 v2 r3` */
export function describeEntry(entry: Entry): string {
  const payload = describePayload(entry);
  return `${entry.term}/${entry.index} ${entry.type}${payload === '' ? '' : ` ${payload}`}`;
}

/** One line per entry, each with its line end. */
export function describeEntries(entries: readonly Entry[]): string {
  return entries.map((entry) => `${describeEntry(entry)}\n`).join('');
}

export function describeMessage(message: Message): string {
  return describeIndented(message, '');
}

/** Everything that a Ready asks for, in the order of its fields. */
export function describeReady(ready: Ready): string {
  const { softState, hardState, readStates, entries, snapshot, committedEntries, messages } = ready;
  let text = '';
  if (softState !== undefined) text += `${describeSoftState(softState)}\n`;
  if (hardState !== undefined) text += `HardState ${describeHardState(hardState)}\n`;
  if (readStates.length > 0) text += `ReadStates [${readStates.map(describeReadState).join(' ')}]\n`;
  if (entries.length > 0) text += `Entries:\n${describeEntries(entries)}`;
  if (snapshot !== undefined) text += `Snapshot ${describeSnapshot(snapshot)}\n`;
  if (committedEntries.length > 0) text += `CommittedEntries:\n${describeEntries(committedEntries)}`;
  if (messages.length > 0) {
    text += `Messages:\n${messages.map((message) => `${describeMessage(message)}\n`).join('')}`;
  }
  return text === '' ? '<empty Ready>' : `Ready MustSync=${ready.mustSync}:\n${text}`;
}

function describeReadState({ index, context }: ReadState): string {
  return `{${index} [${context.join(' ')}]}`;
}

function describePayload(entry: Entry): string {
  if (entry.type === 'EntryNormal') return quote(entry.data);
  try {
    return describeChanges(asJointChange(decodeConfChange(entry.type, entry.data)).changes);
  } catch (error) {
    if (isDomainError(error)) return error.message;
    throw error;
  }
}

function describeIndented(message: Message, indent: string): string {
  const { type, from, to, term, logTerm, index, entries, snapshot, responses } = message;
  let text = `${indent}${describeNode(from)}->${describeNode(to)} ${type} Term:${term} Log:${logTerm}/${index}`;
  if (message.reject) text += ` Rejected (Hint: ${message.rejectHint})`;
  if (message.commit !== 0) text += ` Commit:${message.commit}`;
  if (message.vote !== noNode) text += ` Vote:${message.vote}`;
  const [first] = entries;
  if (first !== undefined && entries.length === 1) {
    text += ` Entries:[${describeEntry(first)}]`;
  } else if (entries.length > 1) {
    const lines = entries.map((entry) => `\n${indent}  ${describeEntry(entry)}`);
    text += ` Entries:[${lines.join('')}\n${indent}]`;
  }
  if (snapshot !== undefined && !isEmptySnapshot(snapshot)) {
    text += `\n${indent}  Snapshot: ${describeSnapshot(snapshot)}`;
  }
  if (responses.length > 0) {
    const lines = responses.map((response) => `\n${describeIndented(response, `${indent}  `)}`);
    text += ` Responses:[${lines.join('')}\n${indent}]`;
  }
  return text;
}

function describeNode(id: NodeId): string {
  if (id === noNode) return 'None';
  if (id === appendThread) return 'AppendThread';
  if (id === applyThread) return 'ApplyThread';
  return hex(id);
}

const escapeSequences: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\v': '\\v',
};

/** Bytes as a quoted string: printable text as it is, escapes for the rest; bytes that are no UTF-8 as \xNN each. */
function quote(data: Uint8Array): string {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(data);
  } catch {
    return `"${[...data].map(quoteByte).join('')}"`;
  }
  return `"${[...text].map(quoteCharacter).join('')}"`;
}

function quoteCharacter(character: string): string {
  const sequence = escapeSequences[character];
  if (sequence !== undefined) return sequence;
  const code = character.codePointAt(0) ?? 0;
  return code < 0x20 || code === 0x7f ? hexByte(code) : character;
}

function quoteByte(byte: number): string {
  return byte < 0x80 ? quoteCharacter(String.fromCharCode(byte)) : hexByte(byte);
}

function hexByte(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}
