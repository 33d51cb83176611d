/**
 * Requests to change the membership, and their bytes in log entries.
 *
 * Two forms. The one-step form names one node. The joint form has a list of changes and a transition: `auto` uses joint
 * consensus only for more than one change, `implicit` and `explicit` always; after `explicit` somebody must propose the
 * empty change that leaves the joint configuration, otherwise the leader does. An empty `auto` change is that leave.
 * The bytes are those of etcd's raftpb (protobuf), scalars always written. A change without any bytes is the empty one:
 * the leader's own request to leave costs nothing, so that no size limit can refuse it.
 */
import { DomainError, fieldTag, WireReader, WireWriter, wireBytes, wireVarint } from '@fleetmq/shared';
import { type EntryType, emptyBytes, type NodeId } from './messages.ts';

export type ConfChangeType =
  | 'ConfChangeAddNode'
  | 'ConfChangeRemoveNode'
  | 'ConfChangeUpdateNode'
  | 'ConfChangeAddLearnerNode';

export type ConfChangeTransition =
  | 'ConfChangeTransitionAuto'
  | 'ConfChangeTransitionJointImplicit'
  | 'ConfChangeTransitionJointExplicit';

export interface ConfChangeSingle {
  readonly type: ConfChangeType;
  /** 0 makes the change a no-op: what a host passes to `applyConfChange` for a change that it turned down. */
  readonly nodeId: NodeId;
}

/** `context` is the host's own data, handed back when the change is applied. */
export interface OneStepConfChange extends ConfChangeSingle {
  readonly kind: 'one-step';
  readonly context: Uint8Array;
}

export interface JointConfChange {
  readonly kind: 'joint';
  readonly transition: ConfChangeTransition;
  readonly changes: readonly ConfChangeSingle[];
  readonly context: Uint8Array;
}

export type ConfChange = OneStepConfChange | JointConfChange;

/** The change that leaves a joint configuration. */
export const leaveJointChange: JointConfChange = {
  kind: 'joint',
  transition: 'ConfChangeTransitionAuto',
  changes: [],
  context: emptyBytes,
};

const typesByNumber: readonly ConfChangeType[] = [
  'ConfChangeAddNode',
  'ConfChangeRemoveNode',
  'ConfChangeUpdateNode',
  'ConfChangeAddLearnerNode',
];
const transitionsByNumber: readonly ConfChangeTransition[] = [
  'ConfChangeTransitionAuto',
  'ConfChangeTransitionJointImplicit',
  'ConfChangeTransitionJointExplicit',
];

export function asJointChange(change: ConfChange): JointConfChange {
  if (change.kind === 'joint') return change;
  return {
    kind: 'joint',
    transition: 'ConfChangeTransitionAuto',
    changes: [{ type: change.type, nodeId: change.nodeId }],
    context: change.context,
  };
}

export function leavesJoint(change: JointConfChange): boolean {
  return change.transition === 'ConfChangeTransitionAuto' && change.changes.length === 0;
}

/** Undefined when the change is simple; else whether the joint configuration is left by itself. */
export function entersJoint(change: JointConfChange): { readonly autoLeave: boolean } | undefined {
  if (change.transition === 'ConfChangeTransitionAuto' && change.changes.length <= 1) return undefined;
  return { autoLeave: change.transition !== 'ConfChangeTransitionJointExplicit' };
}

/** Entry type and entry data of a change. */
export function encodeConfChange(change: ConfChange): { readonly type: EntryType; readonly data: Uint8Array } {
  const writer = new WireWriter(32);
  if (change.kind === 'one-step') {
    scalar(writer, 1, 0);
    scalar(writer, 2, typesByNumber.indexOf(change.type));
    scalar(writer, 3, change.nodeId);
    if (change.context.length > 0) writer.bytesField(4, change.context);
    return { type: 'EntryConfChange', data: writer.finish().slice() };
  }
  scalar(writer, 1, transitionsByNumber.indexOf(change.transition));
  for (const single of change.changes) {
    const inner = new WireWriter(16);
    scalar(inner, 1, typesByNumber.indexOf(single.type));
    scalar(inner, 2, single.nodeId);
    writer.bytesField(2, inner.finish());
  }
  if (change.context.length > 0) writer.bytesField(3, change.context);
  return { type: 'EntryConfChangeV2', data: writer.finish().slice() };
}

/** Throws INVALID_REQUEST for bytes that are no configuration change; a normal entry has none and is a bug to ask for. */
export function decodeConfChange(type: EntryType, data: Uint8Array): ConfChange {
  if (type === 'EntryConfChange') return decodeOneStep(data);
  if (type === 'EntryConfChangeV2') return decodeJoint(data);
  throw new DomainError('INVALID_REQUEST', `an entry of type ${type} holds no configuration change`);
}

/** Protobuf writes scalars of the old syntax even when they are zero. */
function scalar(writer: WireWriter, field: number, value: number): void {
  writer.varint(fieldTag(field, wireVarint)).varint(value);
}

function decodeOneStep(data: Uint8Array): OneStepConfChange {
  let type: ConfChangeType = 'ConfChangeAddNode';
  let nodeId = 0;
  let context = emptyBytes;
  const reader = new WireReader(data);
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === fieldTag(2, wireVarint)) type = typeOf(reader.varint());
    else if (tag === fieldTag(3, wireVarint)) nodeId = reader.varint();
    else if (tag === fieldTag(4, wireBytes)) context = reader.view().slice();
    else reader.skip(tag % 8);
  }
  return { kind: 'one-step', type, nodeId, context };
}

function decodeJoint(data: Uint8Array): JointConfChange {
  let transition: ConfChangeTransition = 'ConfChangeTransitionAuto';
  const changes: ConfChangeSingle[] = [];
  let context = emptyBytes;
  const reader = new WireReader(data);
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === fieldTag(1, wireVarint)) transition = transitionOf(reader.varint());
    else if (tag === fieldTag(2, wireBytes)) changes.push(decodeSingle(reader.view()));
    else if (tag === fieldTag(3, wireBytes)) context = reader.view().slice();
    else reader.skip(tag % 8);
  }
  return { kind: 'joint', transition, changes, context };
}

function decodeSingle(data: Uint8Array): ConfChangeSingle {
  let type: ConfChangeType = 'ConfChangeAddNode';
  let nodeId = 0;
  const reader = new WireReader(data);
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === fieldTag(1, wireVarint)) type = typeOf(reader.varint());
    else if (tag === fieldTag(2, wireVarint)) nodeId = reader.varint();
    else reader.skip(tag % 8);
  }
  return { type, nodeId };
}

function typeOf(number: number): ConfChangeType {
  const type = typesByNumber[number];
  if (type === undefined) throw new DomainError('INVALID_REQUEST', `${number} is no type of a configuration change`);
  return type;
}

function transitionOf(number: number): ConfChangeTransition {
  const transition = transitionsByNumber[number];
  if (transition === undefined) throw new DomainError('INVALID_REQUEST', `${number} is no transition`);
  return transition;
}
