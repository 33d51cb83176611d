/**
 * Calls that only the leader of the controllers answers. Starts with the controller that led last, follows the hint of
 * NOT_LEADER, else asks the next one, with a backoff, until the caller's deadline.
 *
 * A call is repeated only when the attempt before certainly did nothing, or when the caller says that repeating does no
 * harm (`idempotent`). Otherwise a lost connection ends the call with TIMEOUT: its outcome is unknown.
 */
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type { Transport } from '@connectrpc/connect';
import {
  assert,
  type BackoffOptions,
  backoffMs,
  type Clock,
  DomainError,
  type Logger,
  type Random,
  silentLogger,
  type Timers,
} from '@fleetmq/shared';
import { authorityOf, type ControllerAddress, parseAddress } from './addresses.ts';
import { errorOf } from './errors.ts';
import { pause } from './pause.ts';

export interface ControllerCallsOptions {
  /** At least one. */
  readonly controllers: readonly ControllerAddress[];
  /** All of them as the metadata watch knows them; not empty. Default: `controllers`. */
  readonly known?: () => readonly ControllerAddress[];
  /** The transport to one address; it stays the caller's. */
  readonly transportOf: (address: ControllerAddress) => Transport;
  /** Who leads as far as the metadata watch knows; 0: nobody. Used only with addresses whose id is known. */
  readonly leaderId?: () => number;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger?: Logger;
  /** Of a call that names no timeout. Default 30 s. */
  readonly timeoutMs?: number;
  /** Of one attempt of an idempotent call, so that a leader that hangs does not use up the whole deadline. Default 3 s. */
  readonly attemptTimeoutMs?: number;
  /** Between two attempts. Default 20 ms to 500 ms. */
  readonly backoff?: BackoffOptions;
}

export interface ControllerCallOptions {
  readonly signal?: AbortSignal | undefined;
  /** For all attempts together. */
  readonly timeoutMs?: number | undefined;
  /** Repeating the call does no harm, even if it was carried out before. Default false. */
  readonly idempotent?: boolean | undefined;
  readonly headers?: HeadersInit | undefined;
}

export class ControllerCalls {
  readonly #options: ControllerCallsOptions;
  readonly #logger: Logger;
  #next = 0;
  /** Who answered last, or whom the last NOT_LEADER named. */
  #leader: ControllerAddress | undefined;

  constructor(options: ControllerCallsOptions) {
    assert(options.controllers.length > 0, 'controller calls need a controller');
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
  }

  /**
   * The leader's answer. Throws its error as a DomainError; NOT_AVAILABLE when no leader was found by the deadline;
   * TIMEOUT when the outcome is unknown; CANCELLED or the signal's own DomainError when the caller gave up.
   */
  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    input: MessageInitShape<I>,
    options: ControllerCallOptions = {},
  ): Promise<MessageShape<O>> {
    const { clock, timers, random, backoff = { baseMs: 20, maxMs: 500 } } = this.#options;
    const signal = options.signal ?? new AbortController().signal;
    const timeoutMs = options.timeoutMs ?? this.#options.timeoutMs ?? 30_000;
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    let wasHinted = false;
    for (let attempt = 1; ; attempt++) {
      const address = this.#choose(attempt);
      const leftMs = deadlineMs - clock.monotonicMs();
      let error: DomainError;
      try {
        const answer = await this.#attempt(method, input, { ...options, signal, timeoutMs: leftMs }, address);
        this.#leader = address;
        return answer;
      } catch (thrown) {
        error = errorOf(thrown);
      }
      if (signal.aborted) throw error;
      const next = nextStep(error, options.idempotent ?? false);
      if (next === 'throw') throw error;
      this.#leader = hintedBy(error, address);
      if (next === 'unknown') throw outcomeUnknown(method.name, error);
      this.#logger.debug({ controller: authorityOf(address), code: error.code, attempt }, `${method.name} is repeated`);
      const isHinted = this.#leader !== undefined;
      const delayMs = isHinted && !wasHinted ? 0 : (error.retryAfterMs ?? backoffMs(attempt, backoff, random));
      wasHinted = isHinted;
      if (clock.monotonicMs() + delayMs >= deadlineMs) throw unanswered(method.name, timeoutMs, error);
      await pause(timers, delayMs, signal);
    }
  }

  async #attempt<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    input: MessageInitShape<I>,
    options: ControllerCallOptions & { readonly signal: AbortSignal; readonly timeoutMs: number },
    address: ControllerAddress,
  ): Promise<MessageShape<O>> {
    const { attemptTimeoutMs = 3_000, transportOf } = this.#options;
    const timeoutMs = options.idempotent === true ? Math.min(options.timeoutMs, attemptTimeoutMs) : options.timeoutMs;
    const transport = transportOf(address);
    const answer = await transport.unary(method, options.signal, Math.ceil(timeoutMs), options.headers, input);
    return answer.message;
  }

  /** Who led last, else who leads as far as the metadata says, else the next in turn. */
  #choose(attempt: number): ControllerAddress {
    if (this.#leader !== undefined) return this.#leader;
    const { leaderId } = this.#options;
    const controllers = this.#options.known?.() ?? this.#options.controllers;
    const watchedId = attempt === 1 ? (leaderId?.() ?? 0) : 0;
    const watched = controllers.find((each) => watchedId !== 0 && each.controllerId === watchedId);
    return watched ?? (controllers[this.#next++ % controllers.length] as ControllerAddress);
  }
}

/** Whom NOT_LEADER names, unless it is the one that has just said so. */
function hintedBy(error: DomainError, address: ControllerAddress): ControllerAddress | undefined {
  if (error.code !== 'NOT_LEADER' || error.leaderHint === undefined) return undefined;
  const hinted = parseAddress(error.leaderHint);
  return hinted === undefined || authorityOf(hinted) === authorityOf(address) ? undefined : hinted;
}

/** What follows a failed attempt. `unknown`: it may have been carried out and must not be repeated. */
export function nextStep(error: DomainError, idempotent: boolean): 'repeat' | 'throw' | 'unknown' {
  switch (error.code) {
    case 'NOT_LEADER':
    case 'PROPOSAL_DROPPED':
      return 'repeat';
    case 'NOT_AVAILABLE':
    case 'TIMEOUT':
      return idempotent || !error.outcomeUnknown ? 'repeat' : 'unknown';
    case 'SHUTTING_DOWN':
      return idempotent ? 'repeat' : 'unknown';
    default:
      return 'throw';
  }
}

function outcomeUnknown(name: string, cause: DomainError): DomainError {
  return new DomainError('TIMEOUT', `${name}: ${cause.message}; whether it was carried out is unknown`, { cause });
}

function unanswered(name: string, timeoutMs: number, cause: DomainError): DomainError {
  const text = `${name}: no controller could answer within ${timeoutMs} ms: ${cause.message}`;
  return new DomainError('NOT_AVAILABLE', text, { cause });
}
