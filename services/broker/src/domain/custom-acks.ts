/**
 * When a produce request is answered. A rule is made of what the request asks for, once, before anything is written; bad
 * ones are refused with INVALID_ACKS. The ack point of a rule is the offset below which requests are acknowledged; it is
 * what the partition compares, so that no state is kept per request and replica.
 *
 * The number of ACK_CUSTOM can only delay an ack: every rule beyond LEADER also waits for the high watermark (P3).
 */
import { DomainError } from '@fleetmq/shared';
import { unconfirmed } from './high-watermark.ts';

/** AcknowledgmentLevel of the contract. */
export const ackLevel = { none: 0, leader: 1, majority: 2, all: 3, custom: 4 } as const;

/** `none`: accepted. `leader`: durable here. `committed`: below the watermark, and durable on `replicas` assigned replicas. */
export type AckRule =
  | { readonly kind: 'none' }
  | { readonly kind: 'leader' }
  | { readonly kind: 'committed'; readonly replicas: number };

const noneRule: AckRule = { kind: 'none' };
const leaderRule: AckRule = { kind: 'leader' };
const committedRules: readonly AckRule[] = Array.from({ length: 17 }, (_, replicas) => ({
  kind: 'committed',
  replicas,
}));

/** INVALID_ACKS for a level that does not exist, or a count outside 1 to the replication factor. */
export function ackRule(level: number, customCount: number, replicationFactor: number): AckRule {
  switch (level) {
    case ackLevel.none:
      return noneRule;
    case ackLevel.leader:
      return leaderRule;
    case ackLevel.majority:
      return committedRule(Math.floor(replicationFactor / 2) + 1);
    case ackLevel.all:
      // The watermark itself waits for every in-sync replica.
      return committedRule(1);
    case ackLevel.custom:
      if (customCount >= 1 && customCount <= replicationFactor) return committedRule(customCount);
      throw new DomainError(
        'INVALID_ACKS',
        `custom_ack_count ${customCount} is outside 1..${replicationFactor}, the replication factor`,
      );
    default:
      throw new DomainError('INVALID_ACKS', `acknowledgment level ${level} is not known; known: 0 to 4`);
  }
}

function committedRule(replicas: number): AckRule {
  return committedRules[replicas] ?? { kind: 'committed', replicas };
}

/** Whether the rule is refused while the ISR is below min.insync.replicas (P4). */
export function needsInsyncReplicas(rule: AckRule): boolean {
  return rule.kind === 'committed';
}

export interface AckInput {
  readonly highWatermark: number;
  /** Durable end of the leader itself. */
  readonly leaderDurableEnd: number;
  /** Durable ends of all assigned replicas, the leader's included; `unconfirmed` where unknown. */
  readonly durableEnds: readonly number[];
}

/** Requests whose records end at or below this offset are acknowledged under the rule. */
export function ackPoint(rule: AckRule, input: AckInput): number {
  switch (rule.kind) {
    case 'none':
      return Number.POSITIVE_INFINITY;
    case 'leader':
      return input.leaderDurableEnd;
    case 'committed':
      if (rule.replicas <= 1) return input.highWatermark;
      return Math.min(input.highWatermark, kthLargest(input.durableEnds, rule.replicas));
  }
}

/** The largest offset that at least `k` of the ends have reached. */
function kthLargest(ends: readonly number[], k: number): number {
  if (k > ends.length) return unconfirmed;
  const descending = [...ends].sort((left, right) => right - left);
  return descending[k - 1] ?? unconfirmed;
}
