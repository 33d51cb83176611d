/** Everything that a controller serves on its internal listener. */
import type { ServiceRoutes } from '@fleetmq/shared/runtime';
import type { ControllerConfig } from '../config.ts';
import type { ControllerNode } from '../shell/node.ts';
import { adminRoutes } from './admin.ts';
import { clusterRoutes } from './cluster.ts';
import { onLane } from './on-lane.ts';
import { raftRoutes } from './raft.ts';
import { replicationRoutes } from './replication.ts';

/** `stopping` aborts when long calls have to end. */
export function controllerRoutes(
  node: ControllerNode,
  config: ControllerConfig,
  stopping: AbortSignal,
): readonly ServiceRoutes[] {
  const image = () => node.stateMachine.image;
  const routes = [
    raftRoutes(node),
    clusterRoutes({
      ...node,
      image,
      stopping,
      heartbeatIntervalMs: config.broker['heartbeat-ms'],
      sessionTimeoutMs: config.broker['session-timeout-ms'],
    }),
    adminRoutes({ ...node, image }),
    replicationRoutes({ ...node, image }),
  ];
  return routes.map(onLane);
}
