/**
 * Commands about brokers: registration, fencing, service, draining, removal; and what follows for the partitions that the
 * broker holds (`elect.ts` has those rules).
 *
 * States: a registration makes the broker `fenced`; it is unfenced once it has caught up (`active`), drained before it
 * stops (`draining`; one that an operator has drained, in every life), and fenced when it is not heard of. Every registration is a life of its own, whose epoch is the index
 * of its log entry; commands for an older life are refused with STALE_BROKER_EPOCH.
 * A broker that comes back without a clean shutdown, or with another data folder, counts for no ISR until a live leader
 * has seen it catch up; when no in-sync replica is left, its log is proven in another way (`apply-proven.ts`). A new data
 * folder under the id of a last in-sync replica is refused, since it would lead with nothing (KIP-966).
 */
import {
  type BrokerImage,
  type BrokerState,
  type MetadataEvent,
  mayJoinIsr,
  type PartitionImage,
  unsupportedFeature,
} from '@fleetmq/metadata';
import { type BrokerEpoch, type BrokerId, DomainError, formatTopicPartition } from '@fleetmq/shared';
import type {
  BrokerLife,
  DrainBroker,
  FenceBroker,
  RegisterBroker,
  UnfenceBroker,
  UnregisterBroker,
} from './commands.ts';
import {
  handedOver,
  type Leaving,
  type Standing,
  type StateOf,
  withBroker,
  withoutBroker,
  withStopping,
} from './elect.ts';
import { MinInsync } from './min-insync.ts';
import { arrived, MoveTally } from './moves.ts';
import { type Applied, type ApplyContext, type MetadataView, metadataLevel } from './view.ts';

export function applyRegisterBroker(
  view: MetadataView,
  command: RegisterBroker,
  context: ApplyContext,
): Applied<BrokerEpoch> {
  const { brokerId } = command;
  const before = view.broker(brokerId);
  if (before !== undefined && before.incarnationId === command.incarnationId) {
    return { events: [], result: before.brokerEpoch };
  }
  const isSameDisk = before !== undefined && before.diskId === command.diskId;
  if (before !== undefined && !isSameDisk) checkNewDisk(view, before);

  const broker: BrokerImage = {
    brokerId,
    brokerEpoch: context.index as number as BrokerEpoch,
    incarnationId: command.incarnationId,
    rackId: command.rackId,
    endpoints: command.endpoints,
    state: 'fenced',
    diskId: command.diskId,
    features: command.features,
    ...(metadataLevel(view) >= 3 && hasWholeLogs(before, command) ? { cleanStart: true } : {}),
    ...(before?.drained === true ? { drained: true } : {}),
  };
  checkFeatures(view, command);
  const standing = standingOf(view, brokerId, 'fenced');
  const leaving: Leaving = !isSameDisk ? 'log' : command.cleanShutdown ? 'nothing' : 'sync';
  const partitions = changedPartitions({ view, brokerId, standing, context }, (partition) =>
    withoutBroker(partition, brokerId, { leaving, standing }),
  );
  return { events: [{ kind: 'broker-changed', broker }, ...partitions], result: broker.brokerEpoch };
}

export function applyFenceBroker(view: MetadataView, command: FenceBroker, context: ApplyContext): Applied<undefined> {
  const broker = requireLife(view, command);
  if (broker.state === 'fenced') return { events: [], result: undefined };
  const { brokerId } = broker;
  const standing = standingOf(view, brokerId, 'fenced');
  const partitions = changedPartitions({ view, brokerId, standing, context }, (partition) =>
    withoutBroker(partition, brokerId, { leaving: 'sync', standing }),
  );
  return { events: [inState(broker, 'fenced'), ...partitions], result: undefined };
}

export function applyUnfenceBroker(
  view: MetadataView,
  command: UnfenceBroker,
  context: ApplyContext,
): Applied<undefined> {
  const broker = requireLife(view, command);
  const isKept = metadataLevel(view) >= 3 && broker.drained === true;
  if (isKept && command.cancelDrain === true) return applyCancelDrain(view, broker, context);
  const state = isKept ? 'draining' : 'active';
  if (broker.state === state) return { events: [], result: undefined };
  return { events: [inState(broker, state), ...servedAgain(view, broker, state, context)], result: undefined };
}

/** A broker that is fenced stays so, and is not drained when it comes into service. */
function applyCancelDrain(
  view: MetadataView,
  { drained: _, ...broker }: BrokerImage,
  context: ApplyContext,
): Applied<undefined> {
  if (broker.state === 'fenced') return { events: [{ kind: 'broker-changed', broker }], result: undefined };
  return { events: [inState(broker, 'active'), ...servedAgain(view, broker, 'active', context)], result: undefined };
}

function servedAgain(
  view: MetadataView,
  { brokerId }: BrokerImage,
  state: BrokerState,
  context: ApplyContext,
): MetadataEvent[] {
  const standing = standingOf(view, brokerId, state);
  return changedPartitions({ view, brokerId, standing, context }, (partition) => withBroker(partition, standing));
}

/** Repeating it hands over what has got a second in-sync replica meanwhile. A fenced broker leads nothing already. */
export function applyDrainBroker(view: MetadataView, command: DrainBroker, context: ApplyContext): Applied<undefined> {
  const before = requireLife(view, command);
  const { brokerId } = before;
  const broker = { ...before, ...(metadataLevel(view) >= 3 ? drainFlags(before, command) : {}) };
  const isNew = broker.drained !== before.drained || broker.stopping !== before.stopping;
  if (before.state === 'fenced') {
    return { events: isNew ? [{ kind: 'broker-changed', broker }] : [], result: undefined };
  }
  const standing = standingOf(view, brokerId, 'draining');
  const leave = leaving(view, broker);
  const partitions = changedPartitions({ view, brokerId, standing, context }, leave);
  const changed = isNew || before.state !== 'draining' ? [inState(broker, 'draining')] : [];
  return { events: [...changed, ...partitions], result: undefined };
}

function drainFlags(
  { state }: BrokerImage,
  { stopping, keep }: DrainBroker,
): Pick<BrokerImage, 'drained' | 'stopping'> {
  return {
    ...(keep === true ? { drained: true } : {}),
    ...(stopping === true && state !== 'fenced' ? { stopping: true } : {}),
  };
}

/** What a broker that drains leaves behind of a partition: its leadership, and its place in the ISR if it is about to stop. */
function leaving(
  view: MetadataView,
  { brokerId, stopping }: BrokerImage,
): (partition: PartitionImage) => PartitionImage {
  const stateOf = statesOf(view, brokerId, 'draining');
  const minimum = new MinInsync(view);
  return (partition) =>
    stopping === true
      ? withStopping(partition, brokerId, { stateOf, minInsync: minimum.of(partition) })
      : handedOver(partition, brokerId, stateOf);
}

export function applyUnregisterBroker(
  view: MetadataView,
  command: UnregisterBroker,
  context: ApplyContext,
): Applied<undefined> {
  const { brokerId } = command;
  const broker = requireBroker(view, brokerId);
  if (broker.state !== 'fenced') {
    throw new DomainError(
      'INVALID_REQUEST',
      `broker ${brokerId} is ${broker.state}: stop it before it is unregistered`,
    );
  }
  refuseIfLastInSync(view, brokerId, 'is unregistered');
  refuseIfTarget(view, brokerId);
  const standing = standingOf(view, brokerId, undefined);
  const partitions = changedPartitions({ view, brokerId, standing, context }, (partition) =>
    withoutBroker(partition, brokerId, { leaving: 'log', standing }),
  );
  return { events: [...partitions, { kind: 'broker-removed', brokerId }], result: undefined };
}

/** The registered broker, if the life is its current one. Throws BROKER_NOT_FOUND, STALE_BROKER_EPOCH. */
export function requireLife(view: MetadataView, life: BrokerLife): BrokerImage {
  const broker = requireBroker(view, life.brokerId);
  if (broker.brokerEpoch !== life.brokerEpoch) {
    throw new DomainError(
      'STALE_BROKER_EPOCH',
      `broker ${life.brokerId} has epoch ${broker.brokerEpoch}, not ${life.brokerEpoch}`,
    );
  }
  return broker;
}

export function requireBroker(view: MetadataView, brokerId: BrokerId): BrokerImage {
  const broker = view.broker(brokerId);
  if (broker === undefined) throw new DomainError('BROKER_NOT_FOUND', `no broker ${brokerId} is registered`);
  return broker;
}

/** What a draining broker has still to do with its partitions. */
export interface DrainWork {
  /** That it can leave now. */
  readonly ready: number;
  /** That it could leave once another replica is in sync, which is in service. For a broker that is about to stop. */
  readonly awaited: number;
}

export function drainWork(view: MetadataView, broker: BrokerImage): DrainWork {
  const leave = leaving(view, broker);
  const minimum = new MinInsync(view);
  let [ready, awaited] = [0, 0];
  for (const partition of view.partitionsOfBroker(broker.brokerId)) {
    if (leave(partition) !== partition) ready++;
    else if (broker.stopping === true && isAwaited(view, partition, broker, minimum.of(partition))) awaited++;
  }
  return { ready, awaited };
}

function isAwaited(
  view: MetadataView,
  { replicas, inSyncReplicas }: PartitionImage,
  { brokerId }: BrokerImage,
  minInsync: number,
): boolean {
  if (!inSyncReplicas.includes(brokerId) || inSyncReplicas.length > minInsync) return false;
  return replicas.some((other) => {
    const broker = view.broker(other);
    return broker !== undefined && mayJoinIsr(broker) && !inSyncReplicas.includes(other);
  });
}

/** A broker that was not known has no logs that somebody could miss. */
function hasWholeLogs(before: BrokerImage | undefined, { diskId, cleanShutdown }: RegisterBroker): boolean {
  return before === undefined || (cleanShutdown && before.diskId === diskId);
}

function checkNewDisk(view: MetadataView, before: BrokerImage): void {
  if (before.state !== 'fenced') {
    throw new DomainError(
      'DUPLICATE_REQUEST',
      `broker ${before.brokerId} is ${before.state} with another data folder: give this broker another id`,
    );
  }
  refuseIfLastInSync(view, before.brokerId, 'starts with another data folder');
}

function refuseIfLastInSync(view: MetadataView, brokerId: BrokerId, what: string): void {
  const last = view
    .partitionsOfBroker(brokerId)
    .filter(({ inSyncReplicas }) => inSyncReplicas.length === 1 && inSyncReplicas[0] === brokerId);
  const first = last[0];
  if (first === undefined) return;
  const name = formatTopicPartition(view.topicById(first.topicId)?.name ?? first.topicId, first.partition);
  throw new DomainError(
    'INVALID_REQUEST',
    `broker ${brokerId} is the last in-sync replica of ${last.length} partitions, among them ${name}: their records ` +
      `would be lost if it ${what}; bring its data folder back, or delete these topics`,
  );
}

function refuseIfTarget(view: MetadataView, brokerId: BrokerId): void {
  const first = view.partitionsOfBroker(brokerId).find(({ move }) => move?.targetReplicas.includes(brokerId));
  if (first?.move === undefined) return;
  const name = formatTopicPartition(view.topicById(first.topicId)?.name ?? first.topicId, first.partition);
  throw new DomainError(
    'REASSIGNMENT_IN_PROGRESS',
    `reassignment ${first.move.reassignmentId} moves ${name} to broker ${brokerId}, so that it cannot be unregistered`,
  );
}

/** UNSUPPORTED_VERSION when the broker does not know what the cluster uses. */
function checkFeatures(view: MetadataView, { brokerId, features }: RegisterBroker): void {
  const why = unsupportedFeature(view.cluster.features, features);
  if (why === undefined) return;
  throw new DomainError('UNSUPPORTED_VERSION', `broker ${brokerId} is too old for this cluster: ${why}`);
}

interface BrokerChange {
  readonly view: MetadataView;
  readonly brokerId: BrokerId;
  /** As they will be. */
  readonly standing: Standing;
  readonly context: ApplyContext;
}

/** What follows for the partitions of the broker, and for their moves. */
function changedPartitions(
  { view, brokerId, standing, context }: BrokerChange,
  change: (partition: PartitionImage) => PartitionImage,
): MetadataEvent[] {
  const events: MetadataEvent[] = [];
  const tally = new MoveTally();
  for (const before of view.partitionsOfBroker(brokerId)) {
    const partition = arrived(change(before), standing.stateOf);
    if (partition === before) continue;
    tally.note(before, partition);
    events.push({ kind: 'partition-changed', partition });
  }
  return [...events, ...tally.events(view, context.timestampMs)];
}

/** The states of all brokers; of one of them as it will be. */
export function statesOf(view: MetadataView, changed?: BrokerId, state?: BrokerState): StateOf {
  return (brokerId) => (brokerId === changed ? state : view.broker(brokerId)?.state);
}

/** As `statesOf`, and whose logs are known to be whole. */
export function standingOf(view: MetadataView, changed?: BrokerId, state?: BrokerState): Standing {
  const isKept = metadataLevel(view) >= 3;
  return {
    stateOf: statesOf(view, changed, state),
    isProven: (brokerId) => !isKept || view.broker(brokerId)?.cleanStart === true,
  };
}

/** Whoever is fenced has stopped. */
function inState({ stopping, ...broker }: BrokerImage, state: BrokerState): MetadataEvent {
  const isStopping = stopping === true && state === 'draining';
  return { kind: 'broker-changed', broker: { ...broker, state, ...(isStopping ? { stopping } : {}) } };
}
