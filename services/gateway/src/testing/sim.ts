/**
 * What the simulator takes of the gateway: a node below its listener, the calls that it serves, and the classes that
 * planted bugs patch from the outside. For `@fleetmq/testkit` alone.
 */
export { type GatewayConfig, gatewaySchema } from '../config.ts';
export { ProduceLane } from '../domain/produce-lane.ts';
export { SubscriptionState } from '../domain/subscription.ts';
export { gatewayRoutes } from '../rpc/routes.ts';
export { createGatewayNode, type GatewayNode, type GatewayNodePorts } from '../shell/node.ts';
export { Upstreams } from '../shell/upstreams.ts';
