/** Everything that the client listener of a gateway mounts, besides health and reflection. */
import { AuthService } from '@fleetmq/gen/client/auth';
import { MetadataService } from '@fleetmq/gen/client/metadata';
import { StreamingService } from '@fleetmq/gen/streaming/stream';
import { type MetadataRoutesOptions, metadataRoutes } from '@fleetmq/metadata/link';
import { type ServiceRoutes, typedRoutes } from '@fleetmq/shared/runtime';
import { type AdminDeps, adminRoutes } from './admin.ts';
import { type ConsumerDeps, consumerRoutes } from './consumer.ts';
import { type ProducerDeps, producerRoutes } from './producer.ts';
import { unimplementedService } from './unimplemented.ts';

export type RouteDeps = AdminDeps & ConsumerDeps & ProducerDeps & { readonly metadata: MetadataRoutesOptions };

export function clientRoutes(deps: RouteDeps): readonly ServiceRoutes[] {
  return [
    producerRoutes(deps),
    consumerRoutes(deps),
    typedRoutes(MetadataService, metadataRoutes(deps.metadata)),
    adminRoutes(deps),
    unimplementedService(StreamingService, 'streaming queries and events are'),
    unimplementedService(AuthService, 'logins are'),
  ];
}
