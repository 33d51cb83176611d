/**
 * The metadata state machine: (image, command, place in the log) -> events and an answer, or a refusal.
 *
 * Deterministic: it sees the image, the command and its context, nothing else; equal inputs give equal events on every
 * node and in every replay. It changes nothing itself: whoever calls it applies the events to the image as one step, with
 * the entry's index as the version. A refusal has no events. A bad command never throws; a broken invariant does.
 */
import type { MetadataEvent } from '@fleetmq/metadata';
import { type DomainError, isDomainError, type LogIndex, unreachable } from '@fleetmq/shared';
import {
  applyDrainBroker,
  applyFenceBroker,
  applyRegisterBroker,
  applyUnfenceBroker,
  applyUnregisterBroker,
} from './apply-brokers.ts';
import { applyAllocateProducerIds, applySetClusterId, applySetFeatures } from './apply-cluster.ts';
import { applyChangeIsr, applyElectLeader, applyFailReplica } from './apply-partitions.ts';
import { applyElectProven } from './apply-proven.ts';
import { applyCancelReassignment, applyStartReassignment } from './apply-reassignments.ts';
import { applyAddPartitions, applyAlterConfig, applyCreateTopic, applyDeleteTopic } from './apply-topics.ts';
import type { MetadataCommand, ResultOf } from './commands.ts';
import { withEligible } from './eligible.ts';
import type { Applied, ApplyContext, MetadataView } from './view.ts';

export type Outcome<Result> =
  | { readonly events: readonly MetadataEvent[]; readonly result: Result }
  | { readonly events: readonly []; readonly error: DomainError };

export function applyCommand<Command extends MetadataCommand>(
  view: MetadataView,
  command: Command,
  context: ApplyContext,
): Outcome<ResultOf<Command>> {
  try {
    const { events, result } = decide(view, command, context) as Applied<ResultOf<Command>>;
    return { events: withEligible(view, events), result };
  } catch (error) {
    if (isDomainError(error)) return { events: [], error };
    throw error;
  }
}

/** The events that the command would lead to now. Throws what it would be refused with. */
export function previewCommand(
  view: MetadataView,
  command: MetadataCommand,
  index: LogIndex,
): readonly MetadataEvent[] {
  const outcome = applyCommand(view, command, { index, timestampMs: 0 });
  if ('error' in outcome) throw outcome.error;
  return outcome.events;
}

function decide(view: MetadataView, command: MetadataCommand, context: ApplyContext): Applied<unknown> {
  switch (command.kind) {
    case 'register-broker':
      return applyRegisterBroker(view, command, context);
    case 'fence-broker':
      return applyFenceBroker(view, command, context);
    case 'unfence-broker':
      return applyUnfenceBroker(view, command, context);
    case 'unregister-broker':
      return applyUnregisterBroker(view, command, context);
    case 'drain-broker':
      return applyDrainBroker(view, command, context);
    case 'create-topic':
      return applyCreateTopic(view, command);
    case 'delete-topic':
      return applyDeleteTopic(view, command, context);
    case 'add-partitions':
      return applyAddPartitions(view, command);
    case 'alter-config':
      return applyAlterConfig(view, command, context);
    case 'change-isr':
      return applyChangeIsr(view, command, context);
    case 'elect-leader':
      return applyElectLeader(view, command);
    case 'allocate-producer-ids':
      return applyAllocateProducerIds(view, command);
    case 'set-cluster-id':
      return applySetClusterId(view, command);
    case 'start-reassignment':
      return applyStartReassignment(view, command, context);
    case 'cancel-reassignment':
      return applyCancelReassignment(view, command, context);
    case 'elect-proven':
      return applyElectProven(view, command, context);
    case 'fail-replica':
      return applyFailReplica(view, command, context);
    case 'set-features':
      return applySetFeatures(view, command);
    default:
      return unreachable(command);
  }
}
