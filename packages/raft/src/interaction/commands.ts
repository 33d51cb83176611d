/**
 * The commands of interaction transcripts: arguments in, calls on the environment, output. An error is printed as its
 * text; no output at all prints `ok`. The vocabulary is that of etcd's rafttest, plus `read-index ID CONTEXT` and
 * `report-snapshot ID PEER finished|failed`.
 */
import { DomainError, isDomainError, type LogIndex, type Term } from '@fleetmq/shared';
import type { ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType } from '../conf-change.ts';
import { describeEntries, describeMessage } from '../describe.ts';
import { describeProgressMap } from '../describe-config.ts';
import {
  createMessage,
  emptyBytes,
  emptyConfState,
  type MessageType,
  type NodeId,
  noIndex,
  noTerm,
  type Snapshot,
  shift,
} from '../messages.ts';
import { isVoter } from '../quorum.ts';
import type { Command, CommandArgument } from './datadriven.ts';
import type { Environment, NodeTemplate, Recipient } from './environment.ts';
import { type LogLevel, logLevels } from './output.ts';

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };
/** May return the DomainError with which the node refused. */
type Handler = (environment: Environment, command: Command) => unknown;

const handlers: Readonly<Record<string, Handler>> = {
  _breakpoint: () => undefined,
  'add-nodes': addNodes,
  campaign: (environment, { args }) => firstNode(environment, args).raft.campaign(),
  compact: (environment, { args }) => {
    const { storage } = firstNode(environment, args);
    storage.compact(integer(args[1]?.key) as LogIndex);
    printLog(environment, integer(args[0]?.key));
  },
  'deliver-msgs': deliverMessages,
  'forget-leader': (environment, { args }) => firstNode(environment, args).raft.forgetLeader(),
  'log-level': (environment, { args }) => setLevel(environment, args[0]?.key ?? ''),
  'process-append-thread': (environment, { args }) =>
    forEachNode(environment, args, 'processing append thread', (id) => environment.processAppend(id)),
  'process-apply-thread': (environment, { args }) =>
    forEachNode(environment, args, 'processing apply thread', (id) => environment.processApply(id)),
  'process-ready': (environment, { args }) =>
    forEachNode(environment, args, 'handling Ready', (id) => environment.processReady(id)),
  propose: (environment, { args }) =>
    firstNode(environment, args).raft.propose(new TextEncoder().encode(args[1]?.key ?? '')),
  'propose-conf-change': proposeConfChange,
  'raft-log': (environment, { args }) => printLog(environment, integer(args[0]?.key)),
  'raft-state': printStates,
  'read-index': (environment, { args }) =>
    firstNode(environment, args).raft.readIndex(new TextEncoder().encode(args[1]?.key ?? '')),
  'report-snapshot': (environment, { args }) =>
    firstNode(environment, args).raft.reportSnapshot(
      integer(args[1]?.key),
      args[2]?.key === 'failed' ? 'failed' : 'finished',
    ),
  'report-unreachable': (environment, { args }) =>
    firstNode(environment, args).raft.reportUnreachable(integer(args[1]?.key)),
  'send-snapshot': sendSnapshot,
  'set-randomized-election-timeout': (environment, { args }) =>
    firstNode(environment, args).raft.setRandomizedElectionTimeout(integer(optionOf(args, 'timeout'))),
  stabilize,
  status: (environment, { args }) =>
    environment.output.write(describeProgressMap(firstNode(environment, args).raft.status().progress)),
  'tick-election': (environment, { args }) => {
    const { raft, electionTicks } = firstNode(environment, args);
    for (let i = 0; i < electionTicks; i++) raft.tick();
  },
  'tick-heartbeat': (environment, { args }) => {
    const { raft, heartbeatTicks } = firstNode(environment, args);
    for (let i = 0; i < heartbeatTicks; i++) raft.tick();
  },
  'transfer-leadership': (environment, { args }) =>
    environment.node(integer(optionOf(args, 'from'))).raft.transferLeader(integer(optionOf(args, 'to'))),
};

/** Runs one command and returns its output. */
export function runCommand(environment: Environment, command: Command): string {
  const { output } = environment;
  const error = attempt(() => {
    const handler = handlers[command.name];
    if (handler === undefined) throw new DomainError('INVALID_REQUEST', 'unknown command');
    return handler(environment, command);
  });
  const text = output.take();
  if (error === undefined) return text === '' ? 'ok' : text;
  return output.isQuiet ? error.message : text + error.message;
}

function attempt(work: () => unknown): DomainError | undefined {
  try {
    const result = work();
    return isDomainError(result) ? result : undefined;
  } catch (error) {
    if (isDomainError(error)) return error;
    throw error;
  }
}

function addNodes(environment: Environment, { args }: Command): void {
  const template: Mutable<NodeTemplate> = {};
  const snapshot = { index: noIndex, term: noTerm, confState: { ...emptyConfState }, data: emptyBytes };
  const bootstrap: Mutable<Snapshot> = { ...snapshot };
  let isBootstrapped = false;
  for (const { key, values } of args.slice(1)) {
    const value = values[0];
    switch (key) {
      case 'voters':
      case 'learners':
        bootstrap.confState = { ...bootstrap.confState, [key]: values.map(integer) };
        isBootstrapped ||= values.length > 0;
        break;
      case 'index':
        bootstrap.index = integer(value) as LogIndex;
        template.applied = bootstrap.index;
        isBootstrapped = true;
        break;
      case 'content':
        bootstrap.data = new TextEncoder().encode(value ?? '');
        isBootstrapped = true;
        break;
      case 'inflight':
        template.maxInflightMsgs = integer(value);
        break;
      case 'max-committed-size-per-ready':
        template.maxCommittedSizePerReady = integer(value);
        break;
      case 'async-storage-writes':
        template.asyncStorageWrites = boolean(value);
        break;
      case 'prevote':
        template.preVote = boolean(value);
        break;
      case 'checkquorum':
        template.checkQuorum = boolean(value);
        break;
      case 'disable-conf-change-validation':
        template.disableConfChangeValidation = boolean(value);
        break;
      case 'step-down-on-removal':
        template.stepDownOnRemoval = boolean(value);
        break;
      case 'read-only':
        if (value !== 'safe' && value !== 'lease-based') throw invalid(`invalid read-only option "${value}"`);
        template.readOnlyOption = value;
        break;
      default:
        throw invalid(`unknown argument ${key}`);
    }
  }
  const first = isBootstrapped ? { ...bootstrap, term: 1 as Term } : undefined;
  environment.addNodes(integer(args[0]?.key), template, first, snapshot);
}

function deliverMessages(environment: Environment, { args }: Command): void {
  const recipients: Recipient[] = [];
  for (const { key, values } of args) {
    if (values.length === 0) recipients.push({ id: integer(key), isDropped: false });
    else if (key === 'drop') recipients.push(...values.map((value) => ({ id: integer(value), isDropped: true })));
  }
  const kept = new Set(recipients.filter(({ isDropped }) => !isDropped).map(({ id }) => id));
  for (const { id, isDropped } of recipients) {
    if (isDropped && kept.has(id)) throw invalid(`can't both deliver and drop msgs to ${id}`);
  }
  const type = optionOf(args, 'type') as MessageType | undefined;
  if (environment.deliver(recipients, type) === 0) environment.output.write('no messages\n');
}

const transitions: Readonly<Record<string, ConfChangeTransition>> = {
  auto: 'ConfChangeTransitionAuto',
  implicit: 'ConfChangeTransitionJointImplicit',
  explicit: 'ConfChangeTransitionJointExplicit',
};

function proposeConfChange(environment: Environment, { args, input }: Command): DomainError | undefined {
  for (const { key, values } of args.slice(1)) {
    if (key !== 'v1' && key !== 'transition' && values.length > 0) throw invalid(`unknown command ${key}`);
  }
  const transitionName = optionOf(args, 'transition') ?? 'auto';
  const transition = transitions[transitionName];
  if (transition === undefined) throw invalid(`unknown transition ${transitionName}`);
  const changes = parseChanges(input);
  let change: ConfChange = { kind: 'joint', transition, changes, context: emptyBytes };
  if (boolean(optionOf(args, 'v1') ?? 'false')) {
    const [single] = changes;
    if (single === undefined || changes.length > 1 || transitionName !== 'auto') {
      throw invalid('v1 conf change can only have one operation and no transition');
    }
    change = { kind: 'one-step', ...single, context: emptyBytes };
  }
  return firstNode(environment, args).raft.proposeConfChange(change);
}

const changeTypes: Readonly<Record<string, ConfChangeType>> = {
  v: 'ConfChangeAddNode',
  l: 'ConfChangeAddLearnerNode',
  r: 'ConfChangeRemoveNode',
  u: 'ConfChangeUpdateNode',
};

/** `v1 l2 r3 u4`. Throws INVALID_REQUEST. */
export function parseChanges(text: string): ConfChangeSingle[] {
  const tokens = text.trim() === '' ? [] : text.trim().split(/\s+/);
  return tokens.map((token) => {
    if (token.length < 2) throw invalid(`unknown token ${token}`);
    const type = changeTypes[token.charAt(0)];
    if (type === undefined) throw invalid(`unknown input: ${token}`);
    return { type, nodeId: integer(token.slice(1)) };
  });
}

function sendSnapshot(environment: Environment, { args }: Command): void {
  const [from, to] = nodeIds(args);
  if (from === undefined || to === undefined) throw invalid('send-snapshot needs two nodes');
  const { raft, storage } = environment.node(from);
  const message = createMessage('MsgSnap', {
    from,
    to,
    term: raft.status().term,
    snapshot: storage.snapshot(),
  });
  environment.post(message);
  environment.output.write(describeMessage(message));
}

function stabilize(environment: Environment, { args }: Command): void {
  const { output } = environment;
  const previous = output.level;
  const level = optionOf(args, 'log-level');
  const ids = nodeIds(args);
  try {
    if (level !== undefined) setLevel(environment, level);
    environment.stabilize(ids.length > 0 ? ids : environment.nodes.map(({ raft }) => raft.id));
  } finally {
    output.level = previous;
  }
}

function setLevel(environment: Environment, name: string): void {
  const level = logLevels.find((candidate) => candidate === name.toUpperCase());
  if (level === undefined) throw invalid(`log levels must be either of [${logLevels.join(' ')}]`);
  environment.output.level = level as LogLevel;
}

function printLog(environment: Environment, id: NodeId): void {
  const { storage } = environment.node(id);
  const first = storage.firstIndex();
  const last = storage.lastIndex();
  if (last < first) {
    environment.output.write(`log is empty: first index=${first}, last index=${last}`);
    return;
  }
  const entries = storage.entries(first, shift(last, 1), Number.POSITIVE_INFINITY) ?? [];
  environment.output.write(describeEntries(entries));
}

function printStates(environment: Environment): void {
  for (const { raft } of environment.nodes) {
    const { id, role, term, lead, config } = raft.status();
    const voter = isVoter(config.voters, id) ? '(Voter)' : '(Non-Voter)';
    environment.output.write(`${id}: ${role} ${voter} Term:${term} Lead:${lead}\n`);
  }
}

function forEachNode(
  environment: Environment,
  args: readonly CommandArgument[],
  title: string,
  work: (id: NodeId) => void,
): void {
  const ids = nodeIds(args);
  for (const id of ids) {
    if (ids.length === 1) {
      work(id);
      continue;
    }
    environment.output.write(`> ${id} ${title}\n`);
    environment.output.indented(() => work(id));
  }
}

/** Bare numbers among the arguments. */
function nodeIds(args: readonly CommandArgument[]): NodeId[] {
  return args.filter(({ values }) => values.length === 0).map(({ key }) => integer(key));
}

function firstNode(environment: Environment, args: readonly CommandArgument[]): ReturnType<Environment['node']> {
  return environment.node(integer(args[0]?.key));
}

function optionOf(args: readonly CommandArgument[], key: string): string | undefined {
  return args.find((arg) => arg.key === key)?.values[0];
}

function integer(text: string | undefined): number {
  if (text === undefined || !/^\d+$/.test(text)) throw invalid(`${text} is no number`);
  return Number(text);
}

function boolean(text: string | undefined): boolean {
  if (text !== 'true' && text !== 'false') throw invalid(`${text} is neither true nor false`);
  return text === 'true';
}

function invalid(message: string): DomainError {
  return new DomainError('INVALID_REQUEST', message);
}
