/**
 * The consensus of a node: storage, driver, and what speaks with them, wired together. The parts know each other: they are
 * called only after all of them are made.
 */
import type { Transport } from '@connectrpc/connect';
import { MetadataImage } from '@fleetmq/metadata';
import { emptyConfState, noIndex, noTerm, type RaftLogger } from '@fleetmq/raft';
import { DomainError, type Logger, type LogIndex, type Term } from '@fleetmq/shared';
import { createRpcPool } from '@fleetmq/shared/runtime';
import type { Membership } from '../domain/membership.ts';
import type { PeerAddress } from '../domain/peers.ts';
import { decodeMembership } from '../wire/membership.ts';
import { encodeImage } from '../wire/snapshot.ts';
import { AddressBook } from './address-book.ts';
import { ClusterName } from './cluster-name.ts';
import { DiskReserve } from './disk-reserve.ts';
import { LeadershipState } from './leadership.ts';
import { LinearReads } from './linear-reads.ts';
import { type Address, authorityOf, createAsk, createMembership } from './node-members.ts';
import type { Start } from './node-ports.ts';
import { Proposals } from './propose.ts';
import { Quorum } from './quorum.ts';
import { RaftDriver } from './raft-driver.ts';
import { RaftIdentity } from './raft-identity.ts';
import { RaftInbox } from './raft-inbox.ts';
import { RaftPeers, type RaftPeersOptions } from './raft-peers.ts';
import { DiskRaftStorage, type RaftStorageOptions } from './raft-storage.ts';
import { SnapshotReceiver } from './snapshot-receiver.ts';
import type { StateMachine } from './state-machine.ts';

export async function openStorage({ config, folder, endpoints, ports, opened }: Start): Promise<DiskRaftStorage> {
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

export type RaftParts = Awaited<ReturnType<typeof createRaft>>;

export async function createRaft(start: Start, storage: DiskRaftStorage, stateMachine: StateMachine) {
  const { config, endpoints, ports, opened } = start;
  const { clock, timers, checksum } = ports;
  const controllerId = config.node.id;
  const electionTimeoutMs = config.raft['election-timeout-ms'];
  const appliedIndex = () => stateMachine.appliedIndex;

  const driver: RaftDriver = new RaftDriver({
    ...driverOptions(start),
    storage,
    stateMachine,
    send: (message) => (RaftInbox.isAnswer(message) ? inbox.answer(message) : peers.send(message)),
    // Somebody who lags may still lead one that was removed: that is no leader of this node any more.
    onLeadership: (next) =>
      leadership.update(standing.state === 'removed' ? { ...next, role: 'StateFollower', leaderId: 0 } : next),
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

  const hasFirstVoters = storage.initialState().confState.voters.length > 0;
  const identity = await openIdentity(start, {
    driver,
    membership,
    hasFirstVoters,
    clusterId: () => clusterName.known,
  });
  const transportAt = ports.transportAt ?? connections(start);
  const peers = createPeers(start, {
    identity,
    driver,
    transportTo: ports.transportTo ?? ((id) => transportAt(addressOf(addresses, id))),
    onHeard: (id) => quorum.heard(id),
    onRemoved: (by) => standing.removed(`controller ${by} says so`),
  });
  const inbox = new RaftInbox({ step: (message) => driver.step(message), timers, answerTimeoutMs: electionTimeoutMs });
  const snapshots = new SnapshotReceiver({
    ...{ controllerId, identity, checksum },
    snapshotBytesMax: config.raft['snapshot-bytes-max'],
    answerTimeoutMs: 30_000,
  });
  const known = { controllerId, driver, storage, identity, leadership, addresses, membership, appliedIndex };
  const quorum = new Quorum({ ...known, clock, timers, electionTimeoutMs });

  const proposals = createProposals(start, { driver, leadership, quorum });
  const reads = new LinearReads({ driver, leadership, appliedIndex, timers, timeoutMs: 5_000 });
  opened.defer(() => reads.close());
  const clusterName = createClusterName(start, { stateMachine, proposals, leadership, onFatal });
  const ask = createAsk(transportAt, electionTimeoutMs);
  const { standing, confProposals, members } = createMembership(start, {
    ...known,
    quorum,
    reads,
    clusterName,
    featuresInUse: () => stateMachine.view.cluster.features,
    forgetLeader,
    ask,
  });
  return {
    driver,
    leadership,
    identity,
    inbox,
    snapshots,
    quorum,
    /** On the leader: adds, replaces and removes controllers. */
    members,
    confProposals,
    /** What this node is to the quorum. */
    standing,
    addresses,
    ask,
    proposals,
    reads,
    clusterName,
  };
}

function createPeers(
  { config, ports, opened }: Start,
  parts: Pick<RaftPeersOptions, 'identity' | 'driver' | 'transportTo' | 'onHeard' | 'onRemoved'>,
): RaftPeers {
  const { timers, checksum, logger } = ports;
  return opened.use(
    new RaftPeers({
      ...parts,
      ...{ timers, checksum, logger },
      heartbeatMs: config.raft['heartbeat-ms'],
      callTimeoutMs: config.raft['election-timeout-ms'],
      snapshots: {
        chunkBytes: 256 * 1024,
        bytesPerSecond: config.raft['snapshot-bytes-per-second'],
        stallTimeoutMs: 5_000,
        answerTimeoutMs: 30_000,
      },
    }),
  );
}

function openIdentity(
  { config, folder, endpoints, ports }: Start,
  parts: {
    readonly driver: RaftDriver;
    readonly membership: () => Membership;
    readonly clusterId: () => string;
    /** False for a node that waits to be added. */
    readonly hasFirstVoters: boolean;
  },
): Promise<RaftIdentity> {
  const { driver, membership, clusterId, hasFirstVoters } = parts;
  return RaftIdentity.open({
    controllerId: config.node.id,
    diskId: folder.diskId,
    clusterId,
    members: new Set(hasFirstVoters ? endpoints.keys() : []),
    membership,
    unapplied: () =>
      driver
        .unappliedConfChanges()
        .filter(({ context }) => context.length > 0)
        .map(({ context }) => decodeMembership(context)),
    disk: folder.disk,
    path: 'raft/peers.json',
    checksum: ports.checksum,
    logger: ports.logger,
  });
}

function createClusterName(
  { folder, ports, opened }: Start,
  parts: {
    readonly stateMachine: StateMachine;
    readonly proposals: Proposals;
    readonly leadership: LeadershipState;
    readonly onFatal: (error: unknown) => void;
  },
): ClusterName {
  const { stateMachine, ...rest } = parts;
  const clusterName = new ClusterName({
    ...rest,
    clusterId: () => stateMachine.view.cluster.clusterId,
    boundTo: () => folder.clusterId,
    bind: (clusterId) => folder.bindCluster(clusterId),
    random: ports.random,
    logger: ports.logger,
  });
  opened.defer(() => clusterName.settled());
  return clusterName;
}

function connections({ config, opened }: Start): (address: Address) => Transport {
  const electionTimeoutMs = config.raft['election-timeout-ms'];
  // After a cut a new connection is there sooner than the old one comes back to life, and an election may wait for it.
  const keepalive = { intervalMs: Math.max(100, electionTimeoutMs / 2), timeoutMs: Math.max(500, electionTimeoutMs) };
  const pool = opened.use(createRpcPool({ connectTimeoutMs: electionTimeoutMs, keepalive }));
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
    clock: ports.clock,
    timers: ports.timers,
    logger: ports.logger,
    tickMs: raft['heartbeat-ms'],
    snapshotEntries: raft['snapshot-entries'],
    failpoint: ports.failpoint,
  };
}

function createProposals(
  { config, folder, ports, opened }: Start,
  {
    driver,
    leadership,
    quorum,
  }: { readonly driver: RaftDriver; readonly leadership: LeadershipState; readonly quorum: Quorum },
): Proposals {
  const { clock, timers, logger } = ports;
  const reserveBytes = config.limits['disk-reserve-bytes'];
  const handOver = async (): Promise<void> => {
    if (leadership.isReady) await quorum.transferLeadership(0, new AbortController().signal);
  };
  const reserve = opened.use(new DiskReserve({ disk: folder.disk, timers, logger, reserveBytes, handOver }));
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

function once<Argument>(call: (argument: Argument) => void): (argument: Argument) => void {
  let isDone = false;
  return (argument) => {
    if (isDone) return;
    isDone = true;
    call(argument);
  };
}

function addressOf(addresses: AddressBook, id: number): PeerAddress {
  const address = addresses.get(id);
  if (address === undefined) throw new DomainError('NOT_AVAILABLE', `no address of controller ${id} is known`);
  return address;
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
