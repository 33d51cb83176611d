/**
 * Commands about what holds for the whole cluster: its id, the levels of its features, and the producer ids given out.
 *
 * Invariants: the id is set once; levels only rise, and only to what every registered broker knows; a producer id is given
 * out once. Whether the controllers know a level is asked before it is proposed (`shell/feature-admin.ts`): they are not part
 * of these metadata.
 */
import { compareText, levelOf, unsupportedFeature } from '@fleetmq/metadata';
import { DomainError } from '@fleetmq/shared';
import { requireLife } from './apply-brokers.ts';
import type { AllocateProducerIds, ProducerIdBlock, SetClusterId, SetFeatures } from './commands.ts';
import type { Applied, MetadataView } from './view.ts';

/** Producer ids are given out below this bound, so that they stay exact wherever a float carries them. */
const producerIdMax = 2n ** 53n;

export function applyAllocateProducerIds(view: MetadataView, command: AllocateProducerIds): Applied<ProducerIdBlock> {
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
export function applySetClusterId(view: MetadataView, command: SetClusterId): Applied<undefined> {
  const { clusterId } = view.cluster;
  if (clusterId === command.clusterId) return { events: [], result: undefined };
  if (clusterId !== '' || command.clusterId === '') {
    throw new DomainError('WRONG_CLUSTER', `the cluster is named "${clusterId}" and stays so`);
  }
  const cluster = { ...view.cluster, clusterId: command.clusterId, features: command.features };
  return { events: [{ kind: 'cluster-changed', cluster }], result: undefined };
}

export function applySetFeatures(view: MetadataView, command: SetFeatures): Applied<undefined> {
  const { features: before } = view.cluster;
  const features = new Map(before);
  for (const [name, level] of command.levels) {
    const now = levelOf(before, name);
    if (level < now) {
      throw new DomainError('INVALID_REQUEST', `${name} is at level ${now}: levels only rise, ${level} is lower`);
    }
    if (level > now) features.set(name, level);
  }
  for (const { brokerId, features: known } of view.brokers()) {
    const why = unsupportedFeature(command.levels, known);
    if (why !== undefined) throw new DomainError('UNSUPPORTED_VERSION', `broker ${brokerId} is too old: ${why}`);
  }
  const isSame = [...features].every(([name, level]) => before.get(name) === level);
  if (isSame) return { events: [], result: undefined };
  const sorted = new Map([...features].sort(([left], [right]) => compareText(left, right)));
  return { events: [{ kind: 'cluster-changed', cluster: { ...view.cluster, features: sorted } }], result: undefined };
}
