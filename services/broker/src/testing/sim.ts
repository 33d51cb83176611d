/**
 * What the simulator takes of the broker: a node below its listeners, the calls that it serves, what invariants read, and the
 * classes that planted bugs patch from the outside. For `@fleetmq/testkit` alone.
 */
export { type BrokerConfig, brokerSchema } from '../config.ts';
export { brokerRoutes } from '../rpc/routes.ts';
export { type BrokerNode, type BrokerNodePorts, createBrokerNode } from '../shell/node.ts';
export { createInlineInflater } from './inline-inflater.ts';
