/**
 * MetadataService over a metadata watch, for brokers and gateways alike: checks the version, waits where the caller asks
 * for it, and answers from the image. Answers carry the addresses of one kind of listener.
 */
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import type { MetadataService } from '@fleetmq/gen/client/metadata';
import type { ListenerName } from '@fleetmq/metadata';
import {
  brokerListAnswer,
  checkVersion,
  clusterMetadataAnswer,
  listTopicsAnswer,
  partitionLeaderAnswer,
  topicMetadataAnswer,
} from '@fleetmq/metadata/wire';
import { DomainError, type Timers, toSafeInteger } from '@fleetmq/shared';
import type { MetadataWatch } from './metadata-watch.ts';

export interface MetadataRoutesOptions {
  readonly watch: Pick<MetadataWatch, 'image' | 'leaderId' | 'controllers' | 'ageMs' | 'waitForVersion'>;
  readonly timers: Timers;
  /** Which addresses of brokers the answers carry. */
  readonly listener: ListenerName;
  readonly securityMode: string;
  readonly serverVersion: string;
  /** Longest wait for min_metadata_version, and for the first metadata of all. Default 5 s. */
  readonly waitMaxMs?: number;
}

export function metadataRoutes(options: MetadataRoutesOptions): ServiceImpl<typeof MetadataService> {
  const { watch, listener } = options;
  const { image } = watch;
  const enter = async (request: Parameters<typeof checkVersion>[0], context: HandlerContext, atLeast = 0n) => {
    checkVersion(request);
    await reachVersion(options, Math.max(1, toSafeInteger<number>(atLeast, 'min_metadata_version')), context.signal);
  };
  return {
    async getTopicMetadata(request, context) {
      await enter(request.version, context, request.minMetadataVersion);
      return topicMetadataAnswer(image, request, listener);
    },
    async listTopics(request, context) {
      await enter(request.version, context);
      return listTopicsAnswer(image, request);
    },
    async getBrokerList(request, context) {
      await enter(request.version, context);
      return brokerListAnswer(image, listener);
    },
    async getPartitionLeader(request, context) {
      await enter(request.version, context);
      return partitionLeaderAnswer(image, request, listener);
    },
    async getClusterMetadata(request, context) {
      await enter(request.version, context);
      return clusterMetadataAnswer(image, {
        listener,
        controllers: knownControllers(options),
        controllerLeaderId: watch.leaderId,
        securityMode: options.securityMode,
        serverVersion: options.serverVersion,
        ageMs: watch.ageMs(),
      });
    },
  };
}

async function reachVersion(options: MetadataRoutesOptions, version: number, signal: AbortSignal): Promise<void> {
  const { watch, timers, waitMaxMs = 5_000 } = options;
  const { image } = watch;
  if (version <= image.version) return;
  const late = new AbortController();
  const timer = timers.after(waitMaxMs, () => {
    const text = `the metadata here is at version ${image.version}, not yet at ${version}: try again`;
    late.abort(new DomainError('NOT_AVAILABLE', text));
  });
  try {
    await watch.waitForVersion(version, AbortSignal.any([signal, late.signal]));
  } finally {
    timer.cancel();
  }
}

/** By id. A leader whose address is not known is listed without one. */
function knownControllers({ watch }: MetadataRoutesOptions): { controllerId: number; host: string; port: number }[] {
  const known = new Map<number, { controllerId: number; host: string; port: number }>();
  if (watch.leaderId !== 0) known.set(watch.leaderId, { controllerId: watch.leaderId, host: '', port: 0 });
  for (const { controllerId, host, port } of watch.controllers) {
    if (controllerId !== undefined && !known.get(controllerId)?.port)
      known.set(controllerId, { controllerId, host, port });
  }
  return [...known.values()].sort((left, right) => left.controllerId - right.controllerId);
}
