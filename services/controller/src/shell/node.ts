/**
 * One controller without its listeners: storage, Raft driver, state machine and what hangs on them, wired together. What
 * happens in one part and concerns another goes through here: applied entries, changes of leadership, messages, failures.
 * Reads top to bottom as the order of the start; the stop runs backwards.
 */
import type { Transport } from '@connectrpc/connect';
import { MetadataImage } from '@fleetmq/metadata';
import { emptyConfState, noIndex, noTerm, type RaftLogger, type RaftOptions } from '@fleetmq/raft';
import {
  type Checksum,
  type Clock,
  DomainError,
  type Logger,
  type LogIndex,
  type Random,
  type Term,
  type Timers,
} from '@fleetmq/shared';
import { createRpcPool, type DataFolder } from '@fleetmq/shared/runtime';
import type { ControllerConfig } from '../config.ts';
import type { Membership } from '../domain/membership.ts';
import type { PeerAddress } from '../domain/peers.ts';
import { defaultPlanLimits } from '../domain/plan.ts';
import { decodeMembership } from '../wire/membership.ts';
import { encodeImage } from '../wire/snapshot.ts';
import { AddressBook } from './address-book.ts';
import { askController } from './ask-controller.ts';
import { BrokerSessions } from './broker-sessions.ts';
import { ClusterName } from './cluster-name.ts';
import { DiskReserve } from './disk-reserve.ts';
import { LeadershipState } from './leadership.ts';
import { LinearReads } from './linear-reads.ts';
import { MemberChanges } from './member-changes.ts';
import { MetadataFeed } from './metadata-feed.ts';
import { Proposals } from './propose.ts';
import { Quorum } from './quorum.ts';
import { type Failpoint, RaftDriver } from './raft-driver.ts';
import { RaftIdentity } from './raft-identity.ts';
import { RaftInbox } from './raft-inbox.ts';
import { RaftPeers } from './raft-peers.ts';
import { DiskRaftStorage, type RaftStorageOptions } from './raft-storage.ts';
import { SnapshotReceiver } from './snapshot-receiver.ts';
import { Standing } from './standing.ts';
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
  /** How the other controllers are reached. Default: connections to their addresses. */
  readonly transportTo?: ((controllerId: number) => Transport) | undefined;
  /** How whoever runs at an address is reached, member or not. Default: connections to it. */
  readonly transportAt?: ((address: Pick<PeerAddress, 'host' | 'port'>) => Transport) | undefined;
  /** Replaces options of the Raft core, for tests. */
  readonly raftOptions?: Partial<Pick<RaftOptions, 'preVote' | 'checkQuorum' | 'readOnlyOption'>> | undefined;
}

export interface ControllerNode extends AsyncDisposable {
  readonly controllerId: number;
  readonly driver: RaftDriver;
  /** For reading only: the driver alone writes. */
  readonly storage: DiskRaftStorage;
  readonly stateMachine: StateMachine;
  readonly leadership: LeadershipState;
  readonly identity: RaftIdentity;
  readonly inbox: RaftInbox;
  readonly snapshots: SnapshotReceiver;
  readonly quorum: Quorum;
  /** On the leader: adds and removes controllers. */
  readonly members: MemberChanges;
  /** What this node is to the quorum. */
  readonly standing: Standing;
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
  await using opened = new AsyncDisposableStack();
  const start: Start = { config, folder, endpoints, ports, opened };
  const storage = await openStorage(start);
  const stateMachine = new StateMachine(storage.currentSnapshot());
  requireKnown(storage, new AddressBook(endpoints, stateMachine.membership));
  const raft = await createRaft(start, storage, stateMachine);
  const services = createServices(start, stateMachine, raft);
  const { leadership, clusterName } = raft;
  stateMachine.addListener({
    onEvents: (events, version) => {
      services.feed.add(events, version);
      services.topics.onEvents(events, version);
      clusterName.check();
    },
    onRestore: () => {
      services.feed.reset();
      services.topics.onRestore();
      raft.members.restored();
      clusterName.check();
    },
    onApplied: (entry, outcome) => {
      raft.proposals.settle(entry, outcome);
      raft.reads.applied(entry.index);
      leadership.applied(entry.term);
      raft.members.applied(entry);
    },
    onMembership: (membership) => {
      raft.addresses.update(membership);
      raft.standing.check();
      services.feed.membersChanged();
    },
  });
  clusterName.check();
  raft.standing.check();
  const parts = opened.move();
  return {
    controllerId: config.node.id,
    storage,
    stateMachine,
    ...raft,
    ...services,
    start: () => raft.driver.start(),
    handOver: () => handOver(start, raft),
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

/** What all steps of the start share. */
interface Start {
  readonly config: ControllerConfig;
  readonly folder: DataFolder;
  readonly endpoints: ReadonlyMap<number, PeerAddress>;
  readonly ports: NodePorts;
  /** What is open is closed in reverse. */
  readonly opened: AsyncDisposableStack;
}

async function openStorage({ config, folder, endpoints, ports, opened }: Start): Promise<DiskRaftStorage> {
  const storage = await DiskRaftStorage.open({
    disk: folder.disk,
    folder: 'raft',
    checksum: ports.checksum,
    logger: ports.logger,
    first: firstState(config.quorum.join, [...endpoints.keys()]),
    segmentBytes: config.raft['segment-bytes'],
  });
  opened.defer(() => storage.close());
  return storage;
}

/** A node that waits to be added has nothing, not even a configuration: the leader's snapshot brings everything. */
function firstState(join: boolean, voters: readonly number[]): RaftStorageOptions['first'] {
  const data = encodeImage(new MetadataImage());
  if (join) return { index: noIndex, term: noTerm, confState: emptyConfState, data };
  return { index: 1 as LogIndex, term: 1 as Term, confState: { ...emptyConfState, voters }, data };
}

type RaftParts = Pick<
  ControllerNode,
  | 'driver'
  | 'leadership'
  | 'identity'
  | 'inbox'
  | 'snapshots'
  | 'quorum'
  | 'members'
  | 'standing'
  | 'proposals'
  | 'reads'
  | 'clusterName'
> & { readonly addresses: AddressBook };

/** The driver and what speaks with it. The parts know each other: they are called only after all of them are made. */
async function createRaft(start: Start, storage: DiskRaftStorage, stateMachine: StateMachine): Promise<RaftParts> {
  const { config, folder, endpoints, ports, opened } = start;
  const { clock, timers, random, checksum, logger } = ports;
  const controllerId = config.node.id;
  const electionTimeoutMs = config.raft['election-timeout-ms'];
  const appliedIndex = () => stateMachine.appliedIndex;

  const driver: RaftDriver = new RaftDriver({
    ...driverOptions(start),
    storage,
    stateMachine,
    send: (message) => (RaftInbox.isAnswer(message) ? inbox.answer(message) : peers.send(message)),
    onLeadership: (next) => leadership.update(next),
    onReadState: (state) => reads.confirmed(state),
    onFatal: (error) => onFatal(error),
  });
  opened.defer(() => driver.stop());
  const membership = () => stateMachine.membership;
  const addresses = new AddressBook(endpoints, membership());
  const leadership = new LeadershipState(addresses, driver.leadership);
  const forgetLeader = (): void => leadership.update({ role: 'StateFollower', leaderId: 0, term: leadership.term });
  const onFatal = once((error: unknown) => {
    forgetLeader();
    ports.onFatal(error);
  });

  const identity = await RaftIdentity.open({
    controllerId,
    diskId: folder.diskId,
    clusterId: () => clusterName.known,
    members: new Set(storage.initialState().confState.voters.length === 0 ? [] : endpoints.keys()),
    membership,
    unapplied: () =>
      driver
        .unappliedConfChanges()
        .filter(({ context }) => context.length > 0)
        .map(({ context }) => decodeMembership(context)),
    disk: folder.disk,
    path: 'raft/peers.json',
    logger,
  });
  const transportAt = ports.transportAt ?? connections(start);
  const peers = opened.use(
    new RaftPeers({
      identity,
      driver,
      transportTo: ports.transportTo ?? ((id) => transportAt(addressOf(addresses, id))),
      onHeard: (id) => quorum.heard(id),
      onRemoved: (by) => standing.removed(`controller ${by} says so`),
      checksum,
      logger,
      callTimeoutMs: electionTimeoutMs,
      snapshotTimeoutMs: 60_000,
      chunkBytes: 512 * 1024,
    }),
  );
  const inbox = new RaftInbox({ step: (message) => driver.step(message), timers, answerTimeoutMs: electionTimeoutMs });
  const snapshotBytesMax = config.raft['snapshot-bytes-max'];
  const snapshots = new SnapshotReceiver({
    controllerId,
    identity,
    checksum,
    snapshotBytesMax,
    answerTimeoutMs: 30_000,
  });
  const known = { controllerId, driver, storage, identity, leadership, addresses, membership, appliedIndex };
  const quorum = new Quorum({ ...known, clock, timers, electionTimeoutMs });

  const proposals = createProposals(start, driver, leadership);
  const reads = new LinearReads({ driver, leadership, appliedIndex, timers, timeoutMs: 5_000 });
  opened.defer(() => reads.close());
  const clusterName = new ClusterName({
    clusterId: () => stateMachine.view.cluster.clusterId,
    boundTo: () => folder.clusterId,
    bind: (clusterId) => folder.bindCluster(clusterId),
    proposals,
    leadership,
    random,
    logger,
    onFatal,
  });
  opened.defer(() => clusterName.settled());
  const { standing, members } = createMembership(start, {
    ...known,
    quorum,
    reads,
    clusterName,
    forgetLeader,
    transportAt,
  });
  return {
    driver,
    leadership,
    identity,
    inbox,
    snapshots,
    quorum,
    members,
    standing,
    addresses,
    proposals,
    reads,
    clusterName,
  };
}

interface MembershipDeps
  extends Pick<RaftParts, 'driver' | 'identity' | 'leadership' | 'addresses' | 'quorum' | 'reads' | 'clusterName'> {
  readonly controllerId: number;
  readonly membership: () => Membership;
  readonly appliedIndex: () => LogIndex;
  readonly forgetLeader: () => void;
  readonly transportAt: (address: Pick<PeerAddress, 'host' | 'port'>) => Transport;
}

/** Who belongs to the quorum: changing it, and noticing that this node does not any more. */
function createMembership(
  { config, folder, ports, opened }: Start,
  { forgetLeader, transportAt, clusterName, ...known }: MembershipDeps,
): Pick<RaftParts, 'standing' | 'members'> {
  const { clock, timers, logger } = ports;
  const { driver, addresses, quorum } = known;
  const electionTimeoutMs = config.raft['election-timeout-ms'];
  const ask = (address: Pick<PeerAddress, 'host' | 'port'>, signal: AbortSignal) => {
    const place = authorityOf(address);
    return askController(transportAt(address), { place, timeoutMs: Math.max(1_000, 2 * electionTimeoutMs), signal });
  };
  const standing = opened.use(
    new Standing({
      ...known,
      diskId: folder.diskId,
      confState: () => driver.confState,
      addresses: () => addresses.addresses(),
      ask,
      silenceMs: () => quorum.silenceMs(),
      onRemoved: () => {
        driver.quiet();
        forgetLeader();
      },
      timers,
      logger,
      askAfterMs: 3 * electionTimeoutMs,
    }),
  );
  const members = opened.use(
    new MemberChanges({
      ...known,
      clusterId: () => clusterName.known,
      askJoiner: ask,
      clock,
      timers,
      logger,
      electionTimeoutMs,
      checkMs: config.raft['heartbeat-ms'],
    }),
  );
  return { standing, members };
}

function connections({ config, opened }: Start): (address: Pick<PeerAddress, 'host' | 'port'>) => Transport {
  const electionTimeoutMs = config.raft['election-timeout-ms'];
  // A connection that went silent must not outlive many elections.
  const silenceMs = Math.max(1_000, 2 * electionTimeoutMs);
  const pool = opened.use(
    createRpcPool({
      connectTimeoutMs: electionTimeoutMs,
      keepalive: { intervalMs: silenceMs, timeoutMs: silenceMs },
    }),
  );
  return (address) => pool.get(`http://${authorityOf(address)}`);
}

function driverOptions({ config, ports }: Start) {
  const { raft } = config;
  return {
    raft: {
      id: config.node.id,
      random: () => ports.random.next(),
      logger: raftLogger(ports.logger.child({ part: 'raft' })),
      electionTicks: Math.max(2, Math.round(raft['election-timeout-ms'] / raft['heartbeat-ms'])),
      heartbeatTicks: 1,
      ...ports.raftOptions,
    },
    timers: ports.timers,
    logger: ports.logger,
    tickMs: raft['heartbeat-ms'],
    snapshotEntries: raft['snapshot-entries'],
    failpoint: ports.failpoint,
  };
}

function createProposals({ config, folder, ports, opened }: Start, driver: RaftDriver, leadership: LeadershipState) {
  const { clock, timers, logger } = ports;
  const reserveBytes = config.limits['disk-reserve-bytes'];
  const reserve = opened.use(new DiskReserve({ disk: folder.disk, timers, logger, reserveBytes }));
  const proposals = new Proposals({
    driver,
    leadership,
    clock,
    timers,
    pendingMax: config.limits.proposals,
    timeoutMs: 10_000,
    commandBytesMax: 8 * 1024 * 1024,
    refusal: () => reserve.refusal(),
  });
  opened.defer(() => proposals.close());
  return proposals;
}

/** What serves brokers, gateways and operators. */
function createServices(
  { config, ports, opened }: Start,
  stateMachine: StateMachine,
  { leadership, proposals, reads, addresses }: RaftParts,
): Pick<ControllerNode, 'topics' | 'sessions' | 'feed'> {
  const { clock, timers, random, logger } = ports;
  const { limits } = config;
  const view = (): MetadataImage => stateMachine.image;
  const feed = new MetadataFeed({
    view,
    leadership,
    controllers: () => addresses.addresses(),
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
    appliedIndex: () => stateMachine.appliedIndex,
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
  const sessionTimeoutMs = config.broker['session-timeout-ms'];
  const sessions = opened.use(
    new BrokerSessions({ view, leadership, proposals, clock, timers, logger, sessionTimeoutMs }),
  );
  return { feed, topics, sessions };
}

async function handOver({ config, ports }: Start, { leadership, quorum, driver }: RaftParts): Promise<void> {
  if (!leadership.isReady || driver.confState.voters.length === 1) return;
  try {
    await quorum.transferLeadership(0, AbortSignal.timeout(2 * config.raft['election-timeout-ms']));
  } catch (error) {
    ports.logger.info({ error }, 'the leadership was not handed over: the others will elect');
  }
}

function once<Argument>(call: (argument: Argument) => void): (argument: Argument) => void {
  let isDone = false;
  return (argument) => {
    if (isDone) return;
    isDone = true;
    call(argument);
  };
}

function requireKnown(storage: DiskRaftStorage, addresses: AddressBook): void {
  const { voters, learners } = storage.initialState().confState;
  const missing = [...voters, ...learners].filter((id) => addresses.get(id) === undefined);
  if (missing.length === 0) return;
  throw new DomainError('INVALID_CONFIG', `quorum.peers lacks controller ${missing.join(', ')}, which votes or learns`);
}

function addressOf(addresses: AddressBook, id: number): PeerAddress {
  const address = addresses.get(id);
  if (address === undefined) throw new DomainError('NOT_AVAILABLE', `no address of controller ${id} is known`);
  return address;
}

function authorityOf({ host, port }: Pick<PeerAddress, 'host' | 'port'>): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
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
