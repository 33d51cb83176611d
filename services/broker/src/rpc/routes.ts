/**
 * Which services a listener mounts. Clients get what is theirs; gateways and other brokers also get it on the internal
 * listener, with internal addresses in hints and metadata.
 */
import { AuthService } from '@fleetmq/gen/client/auth';
import { MetadataService } from '@fleetmq/gen/client/metadata';
import { StreamingService } from '@fleetmq/gen/streaming/stream';
import { metadataRoutes } from '@fleetmq/metadata/link';
import { type ServiceRoutes, typedRoutes } from '@fleetmq/shared/runtime';
import { clientFetchBounds, internalFetchBounds } from '../domain/fetch.ts';
import type { BrokerNode } from '../shell/node.ts';
import { consumerRoutes } from './consumer.ts';
import { type RpcContext, unimplemented } from './context.ts';
import { healthRoutes } from './health.ts';
import { partitionRoutes } from './partition.ts';
import { producerRoutes } from './producer.ts';
import { replicationRoutes } from './replication.ts';

export const serverVersion = '0.1.0';

/** What a node serves on one of its listeners. Made once per listener. */
export function brokerRoutes(node: BrokerNode, listener: 'client' | 'internal'): readonly ServiceRoutes[] {
  const { config, watch } = node;
  const { limits, replica } = config;
  const context: RpcContext = {
    ...node,
    listener,
    fetchBounds: listener === 'client' ? clientFetchBounds : internalFetchBounds,
    localId: config.node.id,
    image: watch.image,
    streams: {
      requestsMax: limits['stream-requests'],
      bytesMax: limits['stream-bytes'],
      subscriptionsMax: limits.subscriptions,
      replicationBytesMax: 2 * replica['link-window-bytes'],
    },
    securityMode: config.security.mode,
    serverVersion,
  };
  return listener === 'client' ? clientRoutes(context) : internalRoutes(context);
}

function clientRoutes(context: RpcContext): readonly ServiceRoutes[] {
  return [
    producerRoutes(context),
    consumerRoutes(context),
    typedRoutes(MetadataService, metadataRoutes(context)),
    streamingRoutes(),
    authRoutes(),
  ];
}

function internalRoutes(context: RpcContext): readonly ServiceRoutes[] {
  return [
    producerRoutes(context),
    consumerRoutes(context),
    typedRoutes(MetadataService, metadataRoutes(context)),
    replicationRoutes(context),
    partitionRoutes(context),
    healthRoutes(context),
  ];
}

function streamingRoutes(): ServiceRoutes {
  return typedRoutes(StreamingService, {
    interactiveQuery: () => unimplemented('InteractiveQuery'),
    subscribe: () => unimplemented('StreamingService.Subscribe'),
    bulkLoad: () => unimplemented('BulkLoad'),
    openQuery: () => unimplemented('OpenQuery'),
    updateQuery: () => unimplemented('UpdateQuery'),
    closeQuery: () => unimplemented('CloseQuery'),
    loadChunk: () => unimplemented('LoadChunk'),
  });
}

function authRoutes(): ServiceRoutes {
  return typedRoutes(AuthService, {
    authenticate: () => unimplemented('Authenticate: this cluster runs in open mode, and logging in'),
    logout: () => unimplemented('Logout: this cluster runs in open mode, and logging in'),
  });
}
