/** HealthService, on internal listeners only. */
import { create } from '@bufbuild/protobuf';
import { GetHealthResponseSchema, HealthService, MetricsResponseSchema } from '@fleetmq/gen/broker/health';
import { checkVersion, durationToProto } from '@fleetmq/metadata/wire';
import { type ServiceRoutes, typedRoutes } from '@fleetmq/shared/runtime';
import { countLeaders, underReplicated } from '../shell/metrics.ts';
import type { RpcContext } from './context.ts';

/** Values of one answer; the rest is left out. */
const answerMax = 20_000;

export function healthRoutes(context: RpcContext): ServiceRoutes {
  const { link, watch, partitions, history, clock } = context;
  const startedAtMs = clock.monotonicMs();
  return typedRoutes(HealthService, {
    getHealth(request) {
      checkVersion(request.version);
      const failed = partitions.failures();
      const problems = failed.map(({ topicId, partition, reason }) => `${topicId}-${partition}: ${reason}`);
      const state = { starting: 'starting', fenced: 'fenced', active: 'ready', draining: 'draining' }[link.state];
      return create(GetHealthResponseSchema, {
        state: failed.length > 0 && link.state === 'active' ? 'failed' : state,
        uptime: durationToProto(clock.monotonicMs() - startedAtMs),
        brokerEpoch: BigInt(link.brokerEpoch),
        metadataVersion: BigInt(watch.version),
        leaderCount: countLeaders(partitions),
        replicaCount: partitions.size,
        underReplicatedCount: underReplicated(partitions),
        problems: problems.slice(0, 100),
      });
    },
    getMetrics(request) {
      checkVersion(request.version);
      const wanted = new Set(request.metricNames);
      const { startTime, endTime } = request;
      const endMs = endTime === undefined ? Number.POSITIVE_INFINITY : timestampMs(endTime);
      const samples = startTime === undefined ? [history.now()] : history.between(timestampMs(startTime), endMs);
      const metrics = samples.flatMap(({ atMs, values }) =>
        values
          .filter(({ name }) => wanted.size === 0 || wanted.has(name))
          .map(({ name, labels, value }) => ({ name, value, labels: { ...labels }, timestamp: timestampOf(atMs) })),
      );
      // By name, then time: the samples are in the order of their times, and sorting keeps it.
      metrics.sort((left, right) => (left.name < right.name ? -1 : left.name > right.name ? 1 : 0));
      return create(MetricsResponseSchema, { metrics: metrics.slice(0, answerMax) });
    },
  });
}

function timestampMs({ seconds, nanos }: { readonly seconds: bigint; readonly nanos: number }): number {
  return Number(seconds) * 1_000 + nanos / 1_000_000;
}

function timestampOf(atMs: number): { seconds: bigint; nanos: number } {
  const seconds = Math.floor(atMs / 1_000);
  return { seconds: BigInt(seconds), nanos: (atMs - seconds * 1_000) * 1_000_000 };
}
