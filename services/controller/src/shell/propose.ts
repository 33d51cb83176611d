/**
 * A command as a promise: proposed to the log, settled with what the state machine answered when it was applied here.
 *
 * An accepted proposal has a place (index, term). If another leader's entry is applied at that index, the command is lost
 * for certain (PROPOSAL_DROPPED). If the leadership, the deadline or the caller ends first, nobody knows (TIMEOUT): the entry
 * may still be committed. Proposals under way are bounded; more are refused with LIMIT_EXCEEDED.
 */
import { assert, type Clock, DomainError, type LogIndex, type Term, type Timers } from '@fleetmq/shared';
import type { Outcome } from '../domain/apply.ts';
import type { MetadataCommand, ResultOf } from '../domain/commands.ts';
import { encodeCommand } from '../wire/commands.ts';
import { joinEntryData } from '../wire/entry-data.ts';
import type { LeadershipState } from './leadership.ts';
import type { RaftDriver } from './raft-driver.ts';

export interface ProposalsOptions {
  readonly driver: Pick<RaftDriver, 'propose'>;
  readonly leadership: LeadershipState;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Default 1,000. */
  readonly pendingMax: number;
  /** Longest wait for a proposal. Default 10 s. */
  readonly timeoutMs: number;
  /** Largest command, in bytes. Default 8 MiB. */
  readonly commandBytesMax: number;
  /** Undefined when the disk has room; otherwise why ordinary commands are refused. */
  readonly refusal: () => DomainError | undefined;
}

interface Waiting {
  readonly kind: string;
  readonly place: { readonly index: LogIndex; readonly term: Term };
  readonly signal: AbortSignal | undefined;
  /** Called when the command was carried out, at once. Must not throw. */
  readonly onDone: (() => void) | undefined;
}

interface Pending {
  readonly term: Term;
  readonly kind: string;
  settle(outcome: Outcome<unknown>): void;
  fail(error: DomainError): void;
}

export class Proposals {
  readonly #options: ProposalsOptions;
  readonly #pending = new Map<LogIndex, Pending>();

  constructor(options: ProposalsOptions) {
    this.#options = options;
    options.leadership.addListener((leadership) => {
      if (!leadership.isLeader) this.#failAll('this controller does not lead any more');
    });
  }

  /** What the state machine answered. Throws what it refused the command with, or as `submit`. */
  async propose<Command extends MetadataCommand>(command: Command, signal?: AbortSignal): Promise<ResultOf<Command>> {
    const outcome = await this.submit(command, signal);
    if ('error' in outcome) throw outcome.error;
    return outcome.result;
  }

  /** As `propose`; answers what `answer` says in the moment in which the command is applied, before any later one is. */
  async proposeFor<Command extends MetadataCommand, Answer>(
    command: Command,
    signal: AbortSignal | undefined,
    answer: () => Answer,
  ): Promise<Answer> {
    let found: { readonly answer: Answer } | undefined;
    const outcome = await this.submit(command, signal, () => {
      found = { answer: answer() };
    });
    if ('error' in outcome) throw outcome.error;
    assert(found !== undefined, `${command.kind} was carried out without an answer`);
    return found.answer;
  }

  /**
   * The state machine's answer or refusal, once the command is applied. Throws only when there is none: NOT_LEADER,
   * NOT_AVAILABLE, LIMIT_EXCEEDED, DISK_FULL, REQUEST_TOO_LARGE and PROPOSAL_DROPPED (nothing happened), or TIMEOUT.
   * `onDone` is called once it was carried out, before any later entry is applied; it must not throw.
   */
  async submit<Command extends MetadataCommand>(
    command: Command,
    signal?: AbortSignal,
    onDone?: () => void,
  ): Promise<Outcome<ResultOf<Command>>> {
    const { driver, leadership, clock, pendingMax, refusal, commandBytesMax } = this.#options;
    leadership.requireReady();
    signal?.throwIfAborted();
    if (this.#pending.size >= pendingMax) {
      throw new DomainError('LIMIT_EXCEEDED', `${this.#pending.size} commands wait for the quorum`, {
        retryAfterMs: 100,
      });
    }
    const refused = refusal();
    if (refused !== undefined) throw refused;
    const bytes = encodeCommand(command);
    if (bytes.length > commandBytesMax) {
      throw new DomainError(
        'REQUEST_TOO_LARGE',
        `the command has ${bytes.length} bytes; the limit is ${commandBytesMax}`,
      );
    }
    const data = joinEntryData({ timestampMs: Math.floor(clock.wallMs()), command: bytes });
    const place = driver.propose(data);
    if (place instanceof DomainError) throw place;
    return (await this.#wait({ kind: command.kind, place, signal, onDone })) as Outcome<ResultOf<Command>>;
  }

  /** The entry at this place was applied. */
  settle(entry: { readonly index: LogIndex; readonly term: Term }, outcome: Outcome<unknown> | undefined): void {
    const pending = this.#pending.get(entry.index);
    if (pending === undefined) return;
    if (pending.term === entry.term && outcome !== undefined) {
      pending.settle(outcome);
      return;
    }
    pending.fail(new DomainError('PROPOSAL_DROPPED', `${pending.kind}: another leader's command took its place`));
  }

  close(): void {
    this.#failAll('this controller is stopping');
  }

  #wait({ kind, place, signal, onDone }: Waiting): Promise<Outcome<unknown>> {
    const { timers, timeoutMs } = this.#options;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => pending.fail(unknownOutcome(kind, 'the caller gave up'));
      const timer = timers.after(timeoutMs, () => pending.fail(unknownOutcome(kind, `no answer in ${timeoutMs} ms`)));
      const end = (): void => {
        this.#pending.delete(place.index);
        timer.cancel();
        signal?.removeEventListener('abort', onAbort);
      };
      const pending: Pending = {
        term: place.term,
        kind,
        settle: (outcome) => {
          end();
          if (!('error' in outcome)) onDone?.();
          resolve(outcome);
        },
        fail: (error) => {
          end();
          reject(error);
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#pending.set(place.index, pending);
    });
  }

  #failAll(why: string): void {
    for (const pending of [...this.#pending.values()]) pending.fail(unknownOutcome(pending.kind, why));
  }
}

function unknownOutcome(kind: string, why: string): DomainError {
  return new DomainError('TIMEOUT', `${kind}: ${why}; whether it will be carried out is unknown`);
}
