/**
 * Commands about brokers: registration, fencing, service, draining, removal; and what follows for the partitions that the
 * broker holds (`elect.ts` has those rules).
 *
 * States: a registration makes the broker `fenced`; it is unfenced once it has caught up (`active`), drained before it
 * stops (`draining`), and fenced when it is not heard of. Every registration is a life of its own, whose epoch is the index
 * of its log entry; commands for an older life are refused with STALE_BROKER_EPOCH.
 * A broker that comes back without a clean shutdown, or with another data folder, counts for no ISR until a live leader
 * has seen it catch up; when no in-sync replica is left, its log is proven in another way (`apply-proven.ts`). A new data
 * folder under the id of a last in-sync replica is refused, since it would lead with nothing (KIP-966).
 */
import {
  type BrokerImage,
  type BrokerState,
  type MetadataEvent,
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
import { handedOver, type Leaving, type Standing, type StateOf, withBroker, withoutBroker } from './elect.ts';
import { keepsEligible } from './eligible.ts';
import { arrived, MoveTally } from './moves.ts';
import type { Applied, ApplyContext, MetadataView } from './view.ts';

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
    ...(keepsEligible(view) && hasWholeLogs(before, command) ? { cleanStart: true } : {}),
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
  if (broker.state === 'active') return { events: [], result: undefined };
  const { brokerId } = broker;
  const standing = standingOf(view, brokerId, 'active');
  const partitions = changedPartitions({ view, brokerId, standing, context }, (partition) =>
    withBroker(partition, standing),
  );
  return { events: [inState(broker, 'active'), ...partitions], result: undefined };
}

/** Repeating it hands over what has got a second in-sync replica meanwhile. A fenced broker leads nothing already. */
export function applyDrainBroker(view: MetadataView, command: DrainBroker, context: ApplyContext): Applied<undefined> {
  const broker = requireLife(view, command);
  if (broker.state === 'fenced') return { events: [], result: undefined };
  const { brokerId } = broker;
  const standing = standingOf(view, brokerId, 'draining');
  const partitions = changedPartitions({ view, brokerId, standing, context }, (partition) =>
    handedOver(partition, brokerId, standing.stateOf),
  );
  const changed = broker.state === 'draining' ? [] : [inState(broker, 'draining')];
  return { events: [...changed, ...partitions], result: undefined };
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

/** Partitions that the broker leads although another active in-sync replica could. */
export function countHandOvers(view: MetadataView, brokerId: BrokerId): number {
  const stateOf = statesOf(view, brokerId, 'draining');
  let count = 0;
  for (const partition of view.partitionsOfBroker(brokerId)) {
    if (handedOver(partition, brokerId, stateOf) !== partition) count++;
  }
  return count;
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
  const isKept = keepsEligible(view);
  return {
    stateOf: statesOf(view, changed, state),
    isProven: (brokerId) => !isKept || view.broker(brokerId)?.cleanStart === true,
  };
}

function inState(broker: BrokerImage, state: BrokerState): MetadataEvent {
  return { kind: 'broker-changed', broker: { ...broker, state } };
}
