/**
 * A controller, put together: reads top to bottom as the order of the start. A start that fails half-way closes what was
 * open; the stop runs backwards: not ready, hand the leadership over, end the watches, close the listeners, then the node.
 * No environment is read here, and nothing is global.
 */
import { type Clock, DomainError, type Logger, type Random, silentLogger, type Timers } from '@fleetmq/shared';
import {
  addProcessMetrics,
  createHealthState,
  internalLimits,
  MetricsRegistry,
  nodeChecksum,
  nodeClock,
  nodeRandom,
  nodeTimers,
  observeCalls,
  openDataFolder,
  Readiness,
  startOps,
  startRpcServer,
} from '@fleetmq/shared/runtime';
import type { ControllerConfig } from './config.ts';
import { parsePeers } from './domain/peers.ts';
import { controllerRoutes } from './rpc/routes.ts';
import type { Failpoints } from './shell/failpoint.ts';
import { type ControllerNode, createNode } from './shell/node.ts';
import type { NodeState } from './shell/standing.ts';

export interface ControllerPorts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  /** The node cannot go on; it takes no part any more and should be disposed of. Called once. */
  readonly onFatal: (error: unknown) => void;
  /** Between the steps of the Raft driver, for tests. Default off. */
  readonly failpoint?: Failpoints;
}

export interface ListenerAddress {
  readonly host: string;
  readonly port: number;
}

export interface Controller extends AsyncDisposable {
  readonly listeners: { readonly internal: ListenerAddress; readonly ops: ListenerAddress };
  readonly node: ControllerNode;
  /** Whether a leader is known. */
  readonly isReady: boolean;
  /** `handOver` false: as if it had been killed, but for open files. Idempotent. */
  stop(options?: { readonly handOver?: boolean }): Promise<void>;
}

const version = '0.1.0';
const joined = 'quorum joined';
const serving = 'not stopping';
/** Why a node without a leader is not ready. */
const reasons: Readonly<Record<NodeState, string>> = {
  member: 'no leader is known',
  joining: 'it waits to be added to a quorum: fleetmq controller add HOST:PORT',
  removed: 'it was removed from the quorum: stop it; its data folder is of no use any more',
};

export async function createController(
  config: ControllerConfig,
  overrides: Partial<ControllerPorts> = {},
): Promise<Controller> {
  const ports = { ...nodePorts(overrides.logger ?? silentLogger), ...overrides };
  const { logger } = ports;
  checkConfig(config);
  const peers = new Map(parsePeers(config.quorum.peers, config.node.id, config.quorum.join));
  await using opened = new AsyncDisposableStack();

  const folder = opened.use(
    await openDataFolder({
      path: config.data.folder,
      role: 'controller',
      nodeId: config.node.id,
      random: ports.random,
    }),
  );
  const node = opened.use(await createNode(config, folder, peers, { ...ports, checksum: nodeChecksum }));

  const metrics = new MetricsRegistry();
  opened.use(addProcessMetrics(metrics, { service: 'controller', version }));
  addRaftMetrics(metrics, node);
  const readiness = new Readiness([joined, serving]);
  const health = createHealthState();
  const stopping = new AbortController();
  const routes = controllerRoutes(node, config, stopping.signal);
  const server = await startRpcServer({
    listen: config.listen.internal,
    services: routes,
    limits: { ...internalLimits, drainMs: 2_000 },
    health,
    reflection: true,
    logger,
    onCall: observeCalls(metrics),
  });
  opened.use(server);
  const { host, port } = server.address;
  // Where this node is reached, if its own entry leaves the port open.
  if (peers.get(config.node.id)?.port === 0) peers.set(config.node.id, { controllerId: config.node.id, host, port });
  const ops = opened.use(await startOps({ ...config.listen.ops, readiness, metrics }));

  const tell = (): void => {
    const isJoined = node.leadership.leaderId !== 0 && !stopping.signal.aborted;
    if (isJoined) readiness.pass(joined);
    else readiness.fail(joined, reasons[node.standing.state]);
    const status = isJoined ? 'serving' : 'not_serving';
    for (const service of ['', ...routes.map((each) => each.service.typeName)]) health.set(service, status);
  };
  node.leadership.addListener(tell);
  readiness.pass(serving);
  tell();
  node.start();
  logger.info({ controller: config.node.id, internal: server.address, ops: ops.port }, 'the controller listens');

  const parts = opened.move();
  let stopped: Promise<void> | undefined;
  const stop = async (handOver: boolean): Promise<void> => {
    readiness.fail(serving, 'stopping');
    health.setAll('not_serving');
    if (handOver) await node.handOver();
    stopping.abort(new DomainError('SHUTTING_DOWN', 'this controller is stopping'));
    await parts.disposeAsync();
  };
  const stopOnce = (options: { readonly handOver?: boolean } = {}): Promise<void> => {
    stopped ??= stop(options.handOver ?? true);
    return stopped;
  };
  return {
    listeners: { internal: { host, port }, ops: { host: ops.host, port: ops.port } },
    node,
    get isReady() {
      return readiness.ready;
    },
    stop: stopOnce,
    [Symbol.asyncDispose]: () => stopOnce(),
  };
}

function nodePorts(logger: Logger): ControllerPorts {
  return {
    clock: nodeClock,
    timers: nodeTimers,
    random: nodeRandom,
    logger,
    onFatal: (error) => logger.error({ error }, 'the controller cannot go on'),
  };
}

function checkConfig(config: ControllerConfig): void {
  if (config.security.mode !== 'open') {
    throw new DomainError(
      'UNIMPLEMENTED',
      'security.mode = secured is not built yet: set it to open, on a private network',
    );
  }
  const { raft, broker } = config;
  if (raft['heartbeat-ms'] * 2 > raft['election-timeout-ms']) {
    throw new DomainError(
      'INVALID_CONFIG',
      `raft.heartbeat-ms = ${raft['heartbeat-ms']} is above half of raft.election-timeout-ms = ${raft['election-timeout-ms']}`,
    );
  }
  if (broker['heartbeat-ms'] * 2 > broker['session-timeout-ms']) {
    throw new DomainError(
      'INVALID_CONFIG',
      `broker.heartbeat-ms = ${broker['heartbeat-ms']} is above half of broker.session-timeout-ms = ${broker['session-timeout-ms']}`,
    );
  }
}

function addRaftMetrics(metrics: MetricsRegistry, node: ControllerNode): void {
  const { driver, leadership, stateMachine, feed } = node;
  metrics.observed({ name: 'fleetmq_raft_term', help: 'Term of this controller.' }, () => leadership.term);
  metrics.observed({ name: 'fleetmq_raft_is_leader', help: '1 on the leader of the controllers.' }, () =>
    leadership.isLeader ? 1 : 0,
  );
  metrics.observed(
    { name: 'fleetmq_raft_commit_index', help: 'What is committed, as this controller knows.' },
    () => driver.status().commit,
  );
  metrics.observed(
    { name: 'fleetmq_raft_applied_index', help: 'What this controller has applied.' },
    () => stateMachine.appliedIndex,
  );
  metrics.observedCounter(
    { name: 'fleetmq_raft_leader_changes', help: 'How often another leader became known.' },
    () => leadership.changes,
  );
  metrics.observed(
    { name: 'fleetmq_raft_snapshot_bytes', help: 'Size of the newest snapshot that this controller has made.' },
    () => driver.lastSnapshot?.bytes ?? 0,
  );
  metrics.observed(
    { name: 'fleetmq_raft_snapshot_seconds', help: 'What it took to make that snapshot.', labels: ['step'] },
    () => [
      { labels: ['encode'], value: (driver.lastSnapshot?.encodeMs ?? 0) / 1_000 },
      { labels: ['write'], value: (driver.lastSnapshot?.writeMs ?? 0) / 1_000 },
    ],
  );
  metrics.observed(
    { name: 'fleetmq_metadata_version', help: 'Version of the metadata on this controller.' },
    () => stateMachine.view.version,
  );
  metrics.observed({ name: 'fleetmq_metadata_watchers', help: 'Open watches of the metadata.' }, () => feed.watchers);
}
