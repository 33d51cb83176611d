/** Everything that the client listener of a gateway mounts, besides health and reflection. */
import { AuthService } from '@fleetmq/gen/client/auth';
import { MetadataService } from '@fleetmq/gen/client/metadata';
import { StreamingService } from '@fleetmq/gen/streaming/stream';
import { metadataRoutes } from '@fleetmq/metadata/link';
import { type ServiceRoutes, typedRoutes } from '@fleetmq/shared/runtime';
import { fetchBounds } from '../domain/fetch.ts';
import type { GatewayNode } from '../shell/node.ts';
import { adminRoutes } from './admin.ts';
import { consumerRoutes } from './consumer.ts';
import { producerRoutes } from './producer.ts';
import { unimplementedService } from './unimplemented.ts';

export const serverVersion = '0.1.0';

export function gatewayRoutes(node: GatewayNode): readonly ServiceRoutes[] {
  const { config, ports, watch } = node;
  const { limits } = config;
  const partitionsMax = limits['partitions-per-call'];
  const bounds = { ...fetchBounds, bytesMax: limits['fetch-bytes'], waitMaxMs: limits['fetch-wait-ms'], partitionsMax };
  const window = { requestsMax: limits['stream-requests'], bytesMax: limits['stream-bytes'] };
  const metadata = {
    ...ports,
    watch,
    listener: 'client',
    securityMode: config.security.mode,
    serverVersion,
  } as const;
  return [
    producerRoutes({ ...ports, ...node, partitionsMax, window }),
    consumerRoutes({ ...ports, ...node, bounds }),
    typedRoutes(MetadataService, metadataRoutes(metadata)),
    adminRoutes(node),
    unimplementedService(StreamingService, 'streaming queries and events are'),
    unimplementedService(AuthService, 'logins are'),
  ];
}
