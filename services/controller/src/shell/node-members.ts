/** Who belongs to the quorum of a node: changing it, noticing that this node does not any more, and asking others about themselves. */
import type { Transport } from '@connectrpc/connect';
import type { FeatureLevels } from '@fleetmq/metadata';
import type { LogIndex } from '@fleetmq/shared';
import type { Membership } from '../domain/membership.ts';
import type { PeerAddress } from '../domain/peers.ts';
import type { AddressBook } from './address-book.ts';
import { askController } from './ask-controller.ts';
import type { ClusterName } from './cluster-name.ts';
import { ConfProposals } from './conf-proposals.ts';
import type { LeadershipState } from './leadership.ts';
import type { LinearReads } from './linear-reads.ts';
import { MemberChanges } from './member-changes.ts';
import type { Start } from './node-ports.ts';
import type { Quorum } from './quorum.ts';
import type { RaftDriver } from './raft-driver.ts';
import type { RaftIdentity } from './raft-identity.ts';
import { Standing } from './standing.ts';

/** Asks whoever runs at an address what it says of itself. INVALID_REQUEST when nobody answers in time. */
export type AskAt = (address: Address, signal: AbortSignal) => ReturnType<typeof askController>;
export type Address = Pick<PeerAddress, 'host' | 'port'>;

export interface MembershipDeps {
  readonly controllerId: number;
  readonly driver: RaftDriver;
  readonly identity: RaftIdentity;
  readonly leadership: LeadershipState;
  readonly addresses: AddressBook;
  readonly quorum: Quorum;
  readonly reads: LinearReads;
  readonly clusterName: ClusterName;
  readonly membership: () => Membership;
  readonly featuresInUse: () => FeatureLevels;
  readonly appliedIndex: () => LogIndex;
  readonly forgetLeader: () => void;
  readonly ask: AskAt;
}

export interface MembershipParts {
  readonly standing: Standing;
  readonly confProposals: ConfProposals;
  readonly members: MemberChanges;
}

export function createMembership(
  { config, folder, ports, opened }: Start,
  { forgetLeader, ask, clusterName, ...known }: MembershipDeps,
): MembershipParts {
  const { clock, timers, logger } = ports;
  const { driver, addresses, quorum, leadership } = known;
  const electionTimeoutMs = config.raft['election-timeout-ms'];
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
  const proposals = opened.use(new ConfProposals({ driver, leadership, timers, logger }));
  const members = opened.use(
    new MemberChanges({
      ...known,
      proposals,
      clusterId: () => clusterName.known,
      askJoiner: ask,
      clock,
      timers,
      logger,
      electionTimeoutMs,
      checkMs: config.raft['heartbeat-ms'],
    }),
  );
  return { standing, confProposals: proposals, members };
}

export function createAsk(transportAt: (address: Address) => Transport, electionTimeoutMs: number): AskAt {
  const timeoutMs = Math.max(1_000, 2 * electionTimeoutMs);
  return (address, signal) => askController(transportAt(address), { place: authorityOf(address), timeoutMs, signal });
}

export function authorityOf({ host, port }: Address): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
