/**
 * One controller without its listeners: storage, Raft driver, state machine and what hangs on them, wired together. What
 * happens in one part and concerns another goes through here: applied entries, changes of leadership, messages, failures.
 * Reads top to bottom as the order of the start; the stop runs backwards.
 */
import { MetadataImage } from '@fleetmq/metadata';
import { emptyConfState, type Message, type RaftLogger } from '@fleetmq/raft';
import { type Checksum, type Clock, DomainError, type Logger, type Random, type Timers } from '@fleetmq/shared';
import { createRpcPool, type DataFolder } from '@fleetmq/shared/runtime';
import type { ControllerConfig } from '../config.ts';
import type { PeerAddress } from '../domain/peers.ts';
import { defaultPlanLimits } from '../domain/plan.ts';
import { encodeImage } from '../wire/snapshot.ts';
import { BrokerSessions } from './broker-sessions.ts';
import { ClusterName } from './cluster-name.ts';
import { DiskReserve } from './disk-reserve.ts';
import { LeadershipState } from './leadership.ts';
import { LinearReads } from './linear-reads.ts';
import { MetadataFeed } from './metadata-feed.ts';
import { Proposals } from './propose.ts';
import { Quorum } from './quorum.ts';
import { type Failpoint, RaftDriver } from './raft-driver.ts';
import { RaftIdentity } from './raft-identity.ts';
import { RaftInbox } from './raft-inbox.ts';
import { RaftPeers } from './raft-peers.ts';
import { DiskRaftStorage } from './raft-storage.ts';
import { SnapshotReceiver } from './snapshot-receiver.ts';
import { StateMachine } from './state-machine.ts';
import { TopicAdmin } from './topic-admin.ts';

export interface NodePorts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly checksum: Checksum;
  readonly logger: Logger;
  /** The node cannot go on; it takes no part any more. Called once. */
  readonly onFatal: (error: unknown) => void;
  readonly failpoint?: ((point: Failpoint) => void | Promise<void>) | undefined;
}

export interface ControllerNode extends AsyncDisposable {
  readonly controllerId: number;
  readonly driver: RaftDriver;
  readonly stateMachine: StateMachine;
  readonly leadership: LeadershipState;
  readonly identity: RaftIdentity;
  readonly inbox: RaftInbox;
  readonly snapshots: SnapshotReceiver;
  readonly quorum: Quorum;
  readonly proposals: Proposals;
  readonly reads: LinearReads;
  readonly topics: TopicAdmin;
  readonly sessions: BrokerSessions;
  readonly feed: MetadataFeed;
  readonly clusterName: ClusterName;
  /** Begins to take part. Once, when the listeners are open. */
  start(): void;
  /** Best effort: another voter leads before this one stops. */
  handOver(): Promise<void>;
}

export async function createNode(
  config: ControllerConfig,
  folder: DataFolder,
  endpoints: ReadonlyMap<number, PeerAddress>,
  ports: NodePorts,
): Promise<ControllerNode> {
  const { clock, timers, random, checksum, logger } = ports;
  const { raft, limits } = config;
  const controllerId = config.node.id;
  const electionTimeoutMs = raft['election-timeout-ms'];
  await using opened = new AsyncDisposableStack();

  const storage = await DiskRaftStorage.open({
    disk: folder.disk,
    folder: 'raft',
    checksum,
    logger,
    first: {
      confState: { ...emptyConfState, voters: [...endpoints.keys()] },
      data: encodeImage(new MetadataImage()),
    },
    segmentBytes: raft['segment-bytes'],
  });
  opened.defer(() => storage.close());
  requireKnown(storage, endpoints);
  const stateMachine = new StateMachine(storage.currentSnapshot());
  const view = (): MetadataImage => stateMachine.image;
  const appliedIndex = () => stateMachine.appliedIndex;

  let isFatal = false;
  const onFatal = (error: unknown): void => {
    if (isFatal) return;
    isFatal = true;
    leadership.update({ role: 'StateFollower', leaderId: 0, term: leadership.term });
    ports.onFatal(error);
  };
  const route = (message: Message): void => {
    if (RaftInbox.isAnswer(message)) inbox.answer(message);
    else peers.send(message);
  };
  const driver = new RaftDriver({
    raft: {
      id: controllerId,
      random: () => random.next(),
      logger: raftLogger(logger.child({ part: 'raft' })),
      electionTicks: Math.max(2, Math.round(electionTimeoutMs / raft['heartbeat-ms'])),
      heartbeatTicks: 1,
    },
    storage,
    stateMachine,
    timers,
    logger,
    tickMs: raft['heartbeat-ms'],
    snapshotEntries: raft['snapshot-entries'],
    send: route,
    onLeadership: (next) => leadership.update(next),
    onReadState: (state) => reads.confirmed(state),
    onFatal,
    failpoint: ports.failpoint,
  });
  opened.defer(() => driver.stop());
  const leadership = new LeadershipState(endpoints, driver.leadership);

  const identity = await RaftIdentity.open({
    controllerId,
    diskId: folder.diskId,
    clusterId: () => clusterName.known,
    members: new Set(endpoints.keys()),
    disk: folder.disk,
    path: 'raft/peers.json',
    logger,
  });
  const pool = opened.use(createRpcPool({ connectTimeoutMs: electionTimeoutMs }));
  const peers = opened.use(
    new RaftPeers({
      identity,
      driver,
      transportTo: (id) => pool.get(urlOf(endpoints, id)),
      onHeard: (id) => quorum.heard(id),
      checksum,
      logger,
      callTimeoutMs: electionTimeoutMs,
      snapshotTimeoutMs: 60_000,
      chunkBytes: 512 * 1024,
    }),
  );
  const inbox = new RaftInbox({ step: (message) => driver.step(message), timers, answerTimeoutMs: electionTimeoutMs });
  const snapshots = new SnapshotReceiver({
    controllerId,
    identity,
    checksum,
    snapshotBytesMax: raft['snapshot-bytes-max'],
    answerTimeoutMs: 30_000,
  });
  const quorum = new Quorum({
    controllerId,
    driver,
    storage,
    identity,
    leadership,
    endpoints,
    appliedIndex,
    clock,
    timers,
    electionTimeoutMs,
  });

  const reserveBytes = limits['disk-reserve-bytes'];
  const reserve = opened.use(new DiskReserve({ disk: folder.disk, timers, logger, reserveBytes }));
  const proposals = new Proposals({
    driver,
    leadership,
    clock,
    timers,
    pendingMax: limits.proposals,
    timeoutMs: 10_000,
    commandBytesMax: 8 * 1024 * 1024,
    refusal: () => reserve.refusal(),
  });
  opened.defer(() => proposals.close());
  const reads = new LinearReads({ driver, leadership, appliedIndex, timers, timeoutMs: 5_000 });
  opened.defer(() => reads.close());
  const feed = new MetadataFeed({
    view,
    leadership,
    timers,
    logger,
    historyEventsMax: limits['watch-history-events'],
    partItemsMax: 1_000,
    answerEventsMax: 1_000,
    heartbeatMs: 2_000,
    patienceMs: 5_000,
    watchersMax: limits.watches,
  });
  const topics = new TopicAdmin({
    image: view,
    appliedIndex,
    leadership,
    proposals,
    reads,
    random,
    limits: {
      ...defaultPlanLimits,
      partitionsPerTopicMax: limits['partitions-per-topic'],
      partitionsMax: limits.partitions,
      topicsMax: limits.topics,
    },
  });
  const sessions = opened.use(
    new BrokerSessions({
      view,
      leadership,
      proposals,
      clock,
      timers,
      logger,
      sessionTimeoutMs: config.broker['session-timeout-ms'],
    }),
  );
  const clusterName = new ClusterName({
    clusterId: () => view().cluster.clusterId,
    boundTo: () => folder.clusterId,
    bind: (clusterId) => folder.bindCluster(clusterId),
    proposals,
    leadership,
    random,
    logger,
    onFatal,
  });
  opened.defer(() => clusterName.settled());

  stateMachine.addListener({
    onEvents: (events, version) => {
      feed.add(events, version);
      topics.onEvents(events, version);
      clusterName.check();
    },
    onRestore: () => {
      feed.reset();
      topics.onRestore();
      clusterName.check();
    },
    onApplied: (entry, outcome) => {
      proposals.settle(entry, outcome);
      reads.applied(entry.index);
      leadership.applied(entry.term);
    },
  });
  clusterName.check();

  const parts = opened.move();
  return {
    controllerId,
    driver,
    stateMachine,
    leadership,
    identity,
    inbox,
    snapshots,
    quorum,
    proposals,
    reads,
    topics,
    sessions,
    feed,
    clusterName,
    start: () => driver.start(),
    handOver: async () => {
      if (!leadership.isReady || endpoints.size === 1) return;
      try {
        await quorum.transferLeadership(0, AbortSignal.timeout(2 * electionTimeoutMs));
      } catch (error) {
        logger.info({ error }, 'the leadership was not handed over: the others will elect');
      }
    },
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

function requireKnown(storage: DiskRaftStorage, endpoints: ReadonlyMap<number, PeerAddress>): void {
  const { voters, learners } = storage.initialState().confState;
  const missing = [...voters, ...learners].filter((id) => !endpoints.has(id));
  if (missing.length === 0) return;
  throw new DomainError('INVALID_CONFIG', `quorum.peers lacks controller ${missing.join(', ')}, which votes or learns`);
}

function urlOf(endpoints: ReadonlyMap<number, PeerAddress>, id: number): string {
  const endpoint = endpoints.get(id);
  if (endpoint === undefined) throw new DomainError('NOT_AVAILABLE', `no address of controller ${id} is known`);
  const { host, port } = endpoint;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** The core's lines are for whoever debugs it, except what is wrong. */
function raftLogger(logger: Logger): RaftLogger {
  return {
    debug: () => undefined,
    info: (line) => logger.debug({}, line),
    warn: (line) => logger.warn({}, line),
    error: (line) => logger.error({}, line),
  };
}
