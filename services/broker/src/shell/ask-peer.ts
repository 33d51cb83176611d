/** The question of a heartbeat between two brokers (SendHeartbeat): whether the other one is there, under its registration. */
import { BrokerReplicationService } from '@fleetmq/gen/broker/replication';
import { apiVersion } from '@fleetmq/metadata';
import { DomainError } from '@fleetmq/shared';
import { assertOk } from './assert-ok.ts';
import type { ReplicatorOptions } from './link-options.ts';

/** Rejects with what the peer refuses it with, STALE_BROKER_EPOCH when an earlier life of it answers, NOT_AVAILABLE, TIMEOUT. */
export async function askPeer(
  options: ReplicatorOptions,
  peer: { readonly brokerId: number; readonly brokerEpoch: number },
  signal: AbortSignal,
): Promise<void> {
  const { addressOf, transportOf, clusterId, localId, brokerEpoch, metadataVersion, limits } = options;
  const address = addressOf(peer.brokerId);
  if (address === undefined) throw new DomainError('NOT_AVAILABLE', `it is not known where broker ${peer.brokerId} is`);
  const { message } = await transportOf(address.url).unary(
    BrokerReplicationService.method.sendHeartbeat,
    signal,
    limits.heartbeatTimeoutMs,
    undefined,
    {
      version: apiVersion,
      clusterId: clusterId(),
      brokerId: localId,
      brokerEpoch: BigInt(brokerEpoch()),
      targetId: peer.brokerId,
      metadataVersion: BigInt(metadataVersion()),
    },
  );
  assertOk(message);
  if (message.brokerEpoch >= BigInt(peer.brokerEpoch)) return;
  throw new DomainError(
    'STALE_BROKER_EPOCH',
    `broker ${peer.brokerId} answers under registration ${message.brokerEpoch}`,
  );
}
