/**
 * Which services a listener mounts. Clients get what is theirs; gateways and other brokers also get it on the internal
 * listener, with internal addresses in hints and metadata.
 */
import { AuthService } from '@fleetmq/gen/client/auth';
import { MetadataService } from '@fleetmq/gen/client/metadata';
import { StreamingService } from '@fleetmq/gen/streaming/stream';
import { metadataRoutes } from '@fleetmq/metadata/link';
import { type ServiceRoutes, typedRoutes } from '@fleetmq/shared/runtime';
import { consumerRoutes } from './consumer.ts';
import { type RpcContext, unimplemented } from './context.ts';
import { healthRoutes } from './health.ts';
import { partitionRoutes } from './partition.ts';
import { producerRoutes } from './producer.ts';
import { replicationRoutes } from './replication.ts';

export function clientRoutes(context: RpcContext): readonly ServiceRoutes[] {
  return [
    producerRoutes(context),
    consumerRoutes(context),
    typedRoutes(MetadataService, metadataRoutes(context)),
    streamingRoutes(),
    authRoutes(),
  ];
}

export function internalRoutes(context: RpcContext): readonly ServiceRoutes[] {
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
