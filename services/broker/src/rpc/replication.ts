/**
 * BrokerReplicationService, on internal listeners only. Replication itself is raw; what the controllers decide is passed on
 * to them.
 */
import { create } from '@bufbuild/protobuf';
import {
  BrokerReplicationService,
  GetISRResponseSchema,
  GetLeaderEpochResponseSchema,
  HeartbeatResponseSchema,
} from '@fleetmq/gen/broker/replication';
import { checkVersion } from '@fleetmq/metadata/wire';
import { type BrokerId, DomainError, type LeaderEpoch } from '@fleetmq/shared';
import { type RawContext, type ServiceRoutes, serviceRoutes } from '@fleetmq/shared/runtime';
import { runReplicationStream } from '../shell/replication-stream.ts';
import { decodeReplicate, encodeReplicateAnswer } from '../wire/replicate.ts';
import type { RpcContext } from './context.ts';

const forwardTimeoutMs = 10_000;

export function replicationRoutes(context: RpcContext): ServiceRoutes {
  const { receiver, streams, buffers, calls, image, link, localId, partitions, watch } = context;
  const { method } = BrokerReplicationService;
  return serviceRoutes(
    BrokerReplicationService,
    {
      replicateData(request: Uint8Array) {
        const message = decodeReplicate(request);
        return new Promise<Uint8Array>((resolve) => {
          const lease = buffers.leaseOf(request);
          receiver.handle(message, (answer) => resolve(encodeReplicateAnswer(answer)), lease);
        });
      },
      replicateStream(requests: AsyncIterable<Uint8Array>, call: RawContext) {
        const signal = AbortSignal.any([call.signal, call.draining]);
        return runReplicationStream(requests, { receiver, buffers, bytesMax: streams.replicationBytesMax, signal });
      },
    },
    {
      sendHeartbeat(request) {
        checkVersion(request.version);
        const { clusterId } = image.cluster;
        if (request.clusterId !== clusterId) {
          throw new DomainError('WRONG_CLUSTER', `this is cluster ${clusterId}, not ${request.clusterId}`);
        }
        if (request.targetId !== localId) {
          throw new DomainError('WRONG_TARGET', `this is broker ${localId}, not ${request.targetId}`);
        }
        const known = image.broker(request.brokerId as BrokerId)?.brokerEpoch ?? 0;
        if (request.brokerEpoch < BigInt(known)) {
          const text = `broker ${request.brokerId} is known under registration ${known}`;
          throw new DomainError('STALE_BROKER_EPOCH', text);
        }
        const answer = { brokerEpoch: BigInt(link.brokerEpoch), metadataVersion: BigInt(watch.version) };
        return create(HeartbeatResponseSchema, answer);
      },
      getLeaderEpoch(request) {
        checkVersion(request.version);
        const replica = partitions.find(request.topicId, request.partition);
        if (replica === undefined) {
          const text = `partition ${request.partition} of topic ${request.topicId} is not on this broker`;
          throw new DomainError('PARTITION_NOT_FOUND', text);
        }
        const { leaderEpoch: known } = replica.state;
        if (request.currentLeaderEpoch !== 0 && request.currentLeaderEpoch < known) {
          throw new DomainError('STALE_EPOCH', `leader epoch ${known} is known, not ${request.currentLeaderEpoch}`);
        }
        const end = replica.openLog().endOffsetForEpoch(request.leaderEpoch as LeaderEpoch);
        const answer = { leaderEpoch: end.epoch, endOffset: BigInt(end.endOffset) };
        return create(GetLeaderEpochResponseSchema, answer);
      },
      transferLeadership(request, { signal }) {
        checkVersion(request.version);
        return calls.unary(method.transferLeadership, request, { signal, timeoutMs: forwardTimeoutMs });
      },
      updateISR(request, { signal }) {
        checkVersion(request.version);
        return calls.unary(method.updateISR, request, { signal, timeoutMs: forwardTimeoutMs });
      },
      async getISR(request, { signal }) {
        checkVersion(request.version);
        const answer = await calls.unary(method.getISR, request, {
          signal,
          timeoutMs: forwardTimeoutMs,
          idempotent: true,
        });
        const { topic = '', partition = 0 } = request.topicPartition ?? {};
        const leader = partitions.byName(topic, partition)?.state.leader;
        if (leader === undefined) return answer;
        const replicas = answer.replicas.map(({ brokerId, inSync }) => ({
          brokerId,
          inSync,
          durableEndOffset: BigInt(Math.max(0, leader.durableEndOf(brokerId))),
        }));
        return create(GetISRResponseSchema, { partition: answer.partition, replicas });
      },
    },
  );
}
