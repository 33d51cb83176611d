/**
 * The metadata state machine: (image, command, place in the log) -> events and an answer, or a refusal.
 *
 * Deterministic: it sees the image, the command and its context, nothing else; equal inputs give equal events on every
 * node and in every replay. It changes nothing itself: whoever calls it applies the events to the image as one step, with
 * the entry's index as the version. A refusal has no events. A bad command never throws; a broken invariant does.
 */
import type { MetadataEvent } from '@fleetmq/metadata';
import { DomainError, isDomainError, unreachable } from '@fleetmq/shared';
import {
  applyDrainBroker,
  applyFenceBroker,
  applyRegisterBroker,
  applyUnfenceBroker,
  applyUnregisterBroker,
  requireLife,
} from './apply-brokers.ts';
import { applyChangeIsr, applyElectLeader } from './apply-partitions.ts';
import { applyAddPartitions, applyAlterConfig, applyCreateTopic, applyDeleteTopic } from './apply-topics.ts';
import type { AllocateProducerIds, MetadataCommand, ProducerIdBlock, ResultOf, SetClusterId } from './commands.ts';
import type { Applied, ApplyContext, MetadataView } from './view.ts';

export type Outcome<Result> =
  | { readonly events: readonly MetadataEvent[]; readonly result: Result }
  | { readonly events: readonly []; readonly error: DomainError };

/** Producer ids are given out below this bound, so that they stay exact wherever a float carries them. */
const producerIdMax = 2n ** 53n;

export function applyCommand<Command extends MetadataCommand>(
  view: MetadataView,
  command: Command,
  context: ApplyContext,
): Outcome<ResultOf<Command>> {
  try {
    return decide(view, command, context) as Applied<ResultOf<Command>>;
  } catch (error) {
    if (isDomainError(error)) return { events: [], error };
    throw error;
  }
}

function decide(view: MetadataView, command: MetadataCommand, context: ApplyContext): Applied<unknown> {
  switch (command.kind) {
    case 'register-broker':
      return applyRegisterBroker(view, command, context);
    case 'fence-broker':
      return applyFenceBroker(view, command);
    case 'unfence-broker':
      return applyUnfenceBroker(view, command);
    case 'unregister-broker':
      return applyUnregisterBroker(view, command);
    case 'drain-broker':
      return applyDrainBroker(view, command);
    case 'create-topic':
      return applyCreateTopic(view, command);
    case 'delete-topic':
      return applyDeleteTopic(view, command);
    case 'add-partitions':
      return applyAddPartitions(view, command);
    case 'alter-config':
      return applyAlterConfig(view, command);
    case 'change-isr':
      return applyChangeIsr(view, command);
    case 'elect-leader':
      return applyElectLeader(view, command);
    case 'allocate-producer-ids':
      return allocateProducerIds(view, command);
    case 'set-cluster-id':
      return setClusterId(view, command);
    default:
      return unreachable(command);
  }
}

function allocateProducerIds(view: MetadataView, command: AllocateProducerIds): Applied<ProducerIdBlock> {
  requireLife(view, command);
  const first = view.cluster.nextProducerId;
  const nextProducerId = first + BigInt(command.count);
  if (command.count < 1 || nextProducerId > producerIdMax) {
    throw new DomainError('INVALID_REQUEST', `${command.count} producer ids from ${first} on cannot be given out`);
  }
  return {
    events: [{ kind: 'cluster-changed', cluster: { ...view.cluster, nextProducerId } }],
    result: { first, count: command.count },
  };
}

/** Two leaders may both have tried to name a new cluster: the first one counts. */
function setClusterId(view: MetadataView, command: SetClusterId): Applied<undefined> {
  const { clusterId } = view.cluster;
  if (clusterId === command.clusterId) return { events: [], result: undefined };
  if (clusterId !== '' || command.clusterId === '') {
    throw new DomainError('WRONG_CLUSTER', `the cluster is named "${clusterId}" and stays so`);
  }
  return {
    events: [{ kind: 'cluster-changed', cluster: { ...view.cluster, clusterId: command.clusterId } }],
    result: undefined,
  };
}
