/**
 * What an answer of a follower does to the feed that it is for: how far the follower has come, where the search for its place
 * goes on, or why it is left alone for a while. What a follower has confirmed in an earlier life counts nothing (P14), and what
 * its log had confirmed before it failed does not either.
 */
import { backoffMs, type ErrorName } from '@fleetmq/shared';
import type { ReplicateAnswer } from '../wire/replicate.ts';
import type { Feed } from './feed.ts';
import type { ReplicatorOptions } from './link-options.ts';
import { leaderView } from './log-view.ts';

export interface AnswerContext {
  readonly followerId: number;
  readonly nowMs: number;
  /** Of the next message: all answers that are on their way are for older ones. */
  readonly nextCorrelationId: number;
}

/** Refusals after which the follower's log does not come back as it was. */
const failures: ReadonlySet<ErrorName> = new Set<ErrorName>(['STORAGE_FAILED', 'CORRUPT_LOG']);

export class FeedAnswers {
  readonly #options: ReplicatorOptions;

  constructor(options: ReplicatorOptions) {
    this.#options = options;
  }

  /** Takes an answer for a feed that is current. */
  take(feed: Feed, answer: ReplicateAnswer, context: AnswerContext): void {
    const { replica, progress } = feed;
    const { log } = replica;
    if (log === undefined) return;
    const retryAtMs = context.nowMs + this.#retryDelay(feed);
    if (answer.errorCode !== undefined && failures.has(answer.errorCode)) {
      this.#onFailed(feed, answer, context, retryAtMs);
    } else if (answer.errorCode !== undefined) {
      if (progress.onRefused(answer.correlationId, feed.likelyPlace, retryAtMs)) this.#report(feed, answer, context);
    } else if (answer.diverged) {
      const follower = { epoch: answer.divergingEpoch, endOffset: answer.divergingEndOffset };
      progress.onDiverged(answer.correlationId, follower, leaderView(log, replica.sendableEnd), retryAtMs);
    } else if (progress.onMatch(answer.correlationId) && this.#isOfThisLife(answer, context)) {
      const { durableEndOffset: end, brokerEpoch } = answer;
      const startOffset = Math.min(progress.answeredStartOffset, end);
      feed.onMatched(log, end);
      replica.onFollowerDurable(context.followerId, { end, startOffset, brokerEpoch });
    }
  }

  #isOfThisLife({ brokerEpoch }: ReplicateAnswer, { followerId }: AnswerContext): boolean {
    return brokerEpoch >= (this.#options.addressOf(followerId)?.brokerEpoch ?? 0);
  }

  /** Answers of one partition come in order, so none that comes later is of the failed log. */
  #onFailed(feed: Feed, answer: ReplicateAnswer, context: AnswerContext, retryAtMs: number): void {
    if (!this.#isOfThisLife(answer, context)) return;
    feed.replica.onFollowerFailed(context.followerId);
    feed.onFailed(context.nextCorrelationId, retryAtMs);
    this.#report(feed, answer, context);
  }

  /** The first times, and then more and more seldom. */
  #report({ replica, progress }: Feed, answer: ReplicateAnswer, { followerId }: AnswerContext): void {
    const { failures: count } = progress;
    if (count > 1 && (count & (count - 1)) !== 0) return;
    const fields = { follower: followerId, partition: replica.name, code: answer.errorCode, failures: count };
    this.#options.logger.warn({ ...fields, reason: answer.errorMessage }, 'a follower refuses replication');
  }

  #retryDelay(feed: Feed): number {
    return backoffMs(feed.progress.failures + 1, this.#options.limits.retry, this.#options.random);
  }
}
