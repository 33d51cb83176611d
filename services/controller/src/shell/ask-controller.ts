/** What a controller at some address says of itself and of its quorum (GetConfiguration), for whoever is not its peer yet. */
import { createClient, type Transport } from '@connectrpc/connect';
import { ControllerRaftService, type GetConfigurationResponse } from '@fleetmq/gen/controller/raft';
import { apiVersion } from '@fleetmq/metadata';
import { DomainError } from '@fleetmq/shared';
import { toMap } from '../wire/commands.ts';
import { toIndex } from '../wire/raft-messages.ts';
import type { JoinerReport } from './member-changes.ts';
import type { QuorumNews } from './standing.ts';

/** INVALID_REQUEST when nobody answers there within `timeoutMs`: asking again at once would not help. */
export async function askController(
  transport: Transport,
  options: { readonly place: string; readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<JoinerReport & QuorumNews> {
  const { place, timeoutMs, signal } = options;
  let answer: GetConfigurationResponse;
  try {
    answer = await createClient(ControllerRaftService, transport).getConfiguration(
      { version: apiVersion },
      { timeoutMs, signal },
    );
  } catch (cause) {
    signal.throwIfAborted();
    throw new DomainError('INVALID_REQUEST', `no controller answers at ${place}: start it first (quorum.join = true)`, {
      cause,
    });
  }
  const { controllerId, diskId, clusterId, state, features, appliedIndex, configuration } = answer;
  const { voters = [], votersOutgoing = [], learners = [], learnersNext = [] } = configuration ?? {};
  return {
    controllerId,
    diskId,
    clusterId,
    state,
    features: toMap(features),
    appliedIndex: toIndex(appliedIndex),
    memberIds: [...voters, ...votersOutgoing, ...learners, ...learnersNext],
  };
}
