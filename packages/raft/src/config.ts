/**
 * The options of a Raft core: units, defaults, range checks. Defaults are those of production; times are ticks, whose
 * length is the host's choice, and sizes are bytes. Checked once, at the start, with a message that names the bad value.
 */
import { DomainError } from '@fleetmq/shared';
import { type RaftLogger, silentRaftLogger } from './logger.ts';
import { isLocalThread, type NodeId } from './messages.ts';
import type { RaftStorage } from './storage.ts';

/**
 * `safe`: a read is answered after a quorum has confirmed the leadership. `lease-based`: answered at once, trusting that
 * all clocks run equally fast; only for hosts that can promise it.
 */
export type ReadOnlyOption = 'safe' | 'lease-based';

export interface RaftOptions {
  /** Id of this node: 1 or more. */
  readonly id: NodeId;
  readonly storage: RaftStorage;
  /** A uniform number of [0, 1), for election timeouts. */
  readonly random: () => number;
  /** Default: silent. */
  readonly logger?: RaftLogger;
  /** A follower that hears nothing for this many ticks (up to twice as many, at random) starts an election. Default 10. */
  readonly electionTicks?: number;
  /** Ticks between heartbeats of a leader; less than `electionTicks`. Default 1. */
  readonly heartbeatTicks?: number;
  /** Index up to which the host's state machine has applied the log. Default: what storage has compacted. */
  readonly applied?: number;
  /** Appends and applies go out as messages to two queues of the host and come back as answers. Default false. */
  readonly asyncStorageWrites?: boolean;
  /** Encoded bytes of entries in one append; a single entry may exceed it. 0: one entry each. Default 1 MiB. */
  readonly maxSizePerMsg?: number;
  /** Encoded bytes handed out to be applied and not acknowledged; one entry may exceed it. Default 4 MiB. */
  readonly maxCommittedSizePerReady?: number;
  /** Payload bytes in a leader's uncommitted tail; proposals beyond are refused. Default 64 MiB. */
  readonly maxUncommittedEntriesSize?: number;
  /** Appends in flight to one follower. Default 256. */
  readonly maxInflightMsgs?: number;
  /** Payload bytes in flight to one follower, at least `maxSizePerMsg`. Default 16 MiB. */
  readonly maxInflightBytes?: number;
  /** Reads waiting for an answer on a leader; more are refused. Default 4096. */
  readonly maxPendingReads?: number;
  /** A leader without an active majority steps down; who hears a leader ignores votes. Default true. */
  readonly checkQuorum?: boolean;
  /** Ask before raising the term, so that a returning node disturbs nobody. Default true. */
  readonly preVote?: boolean;
  /**
   * With asynchronous storage writes, requests for votes wait until term and log are durable, as answers do. Otherwise a
   * candidate that crashes in between can come back with a shorter log, campaign in the same term, and win with votes that
   * were given to its longer log. Off only where no answer outlives a restart of the asker. Default true.
   */
  readonly durableVoteRequests?: boolean;
  /** Default `safe`; `lease-based` needs `checkQuorum`. */
  readonly readOnlyOption?: ReadOnlyOption;
  /** Followers refuse proposals instead of passing them on to the leader. Default true. */
  readonly disableProposalForwarding?: boolean;
  /** Accept configuration changes without checking them against the active configuration. Default false. */
  readonly disableConfChangeValidation?: boolean;
  /** A leader that is removed or made a learner steps down. Default true. */
  readonly stepDownOnRemoval?: boolean;
}

export type RaftConfig = Required<RaftOptions>;

const mebibyte = 1024 * 1024;

/** Options with defaults filled in. Throws INVALID_CONFIG. */
export function resolveConfig(options: RaftOptions): RaftConfig {
  const config: RaftConfig = {
    logger: silentRaftLogger,
    electionTicks: 10,
    heartbeatTicks: 1,
    applied: 0,
    asyncStorageWrites: false,
    maxSizePerMsg: mebibyte,
    maxCommittedSizePerReady: 4 * mebibyte,
    maxUncommittedEntriesSize: 64 * mebibyte,
    maxInflightMsgs: 256,
    maxInflightBytes: 16 * mebibyte,
    maxPendingReads: 4096,
    checkQuorum: true,
    preVote: true,
    durableVoteRequests: true,
    readOnlyOption: 'safe',
    disableProposalForwarding: true,
    disableConfChangeValidation: false,
    stepDownOnRemoval: true,
    ...options,
  };
  if (!Number.isSafeInteger(config.id) || config.id < 1 || isLocalThread(config.id)) {
    throw invalid(`id is ${config.id}: it must be a whole number of 1 or more`);
  }
  requireInteger('heartbeatTicks', config.heartbeatTicks, 1);
  requireInteger('electionTicks', config.electionTicks, config.heartbeatTicks + 1);
  requireInteger('applied', config.applied, 0);
  requireLimit('maxSizePerMsg', config.maxSizePerMsg, 0);
  requireLimit('maxCommittedSizePerReady', config.maxCommittedSizePerReady, 1);
  requireLimit('maxUncommittedEntriesSize', config.maxUncommittedEntriesSize, 1);
  requireLimit('maxInflightMsgs', config.maxInflightMsgs, 1);
  requireLimit('maxInflightBytes', config.maxInflightBytes, Math.max(1, config.maxSizePerMsg));
  requireLimit('maxPendingReads', config.maxPendingReads, 1);
  if (config.readOnlyOption === 'lease-based' && !config.checkQuorum) {
    throw invalid('readOnlyOption is lease-based: checkQuorum must be on, or a deposed leader would go on answering');
  }
  return config;
}

function requireInteger(name: string, value: number, low: number): void {
  if (!Number.isSafeInteger(value) || value < low) {
    throw invalid(`${name} is ${value}: it must be a whole number of ${low} or more`);
  }
}

/** A limit may be Infinity. */
function requireLimit(name: string, value: number, low: number): void {
  if (Number.isNaN(value) || value < low) throw invalid(`${name} is ${value}: it must be ${low} or more`);
}

function invalid(message: string): DomainError {
  return new DomainError('INVALID_CONFIG', message);
}
