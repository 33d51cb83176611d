/** What a controller is made of from the outside: the ports of a node, and what all steps of its start share. */
import type { Transport } from '@connectrpc/connect';
import type { RaftOptions } from '@fleetmq/raft';
import type { Checksum, Clock, Logger, Random, Timers } from '@fleetmq/shared';
import type { DataFolder } from '@fleetmq/shared/runtime';
import type { ControllerConfig } from '../config.ts';
import type { PeerAddress } from '../domain/peers.ts';
import type { Failpoints } from './failpoint.ts';

export interface NodePorts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly checksum: Checksum;
  readonly logger: Logger;
  /** The node cannot go on; it takes no part any more. Called once. */
  readonly onFatal: (error: unknown) => void;
  readonly failpoint?: Failpoints | undefined;
  /** How the other controllers are reached. Default: connections to their addresses. */
  readonly transportTo?: ((controllerId: number) => Transport) | undefined;
  /** How whoever runs at an address is reached, member or not. Default: connections to it. */
  readonly transportAt?: ((address: Pick<PeerAddress, 'host' | 'port'>) => Transport) | undefined;
  /** Replaces options of the Raft core, for tests. */
  readonly raftOptions?: Partial<Pick<RaftOptions, RaftRule>> | undefined;
}

/** Options of the core that switch rules of Raft on and off. */
type RaftRule = 'preVote' | 'checkQuorum' | 'readOnlyOption' | 'disableConfChangeValidation' | 'stepDownOnRemoval';

/** What all steps of the start share. */
export interface Start {
  readonly config: ControllerConfig;
  readonly folder: DataFolder;
  readonly endpoints: ReadonlyMap<number, PeerAddress>;
  readonly ports: NodePorts;
  /** What is open is closed in reverse. */
  readonly opened: AsyncDisposableStack;
}
