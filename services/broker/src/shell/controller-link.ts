/**
 * The broker's side of the controllers: registers, sends heartbeats, proposes ISR changes, says goodbye. The metadata comes
 * by the watch; this file only says who the broker is and how it is doing.
 *
 * States: starting -> registered (fenced until it has caught up) -> active -> draining -> gone. A broker serves nothing before
 * its metadata has reached the version of its registration. It does not fence itself when the controllers are silent: what
 * it serves is safe without them (P12), and they tell it when it is fenced. A registration that is no longer the newest ends
 * the process: another one runs under this id.
 */

import {
  type BrokerHeartbeatResponse,
  ControllerBrokerService,
  type RegisterBrokerResponse,
} from '@fleetmq/gen/controller/cluster';
import { apiVersion, type EndpointImage, supportedFeatures } from '@fleetmq/metadata';
import type { ControllerCalls, MetadataWatch } from '@fleetmq/metadata/link';
import {
  type BrokerEpoch,
  DomainError,
  isDomainError,
  type Logger,
  type Timer,
  type Timers,
  toSafeInteger,
} from '@fleetmq/shared';
import { assertOk } from './assert-ok.ts';
import type { MoveProgress } from './move-progress.ts';

export interface ControllerLinkOptions {
  readonly localId: number;
  readonly incarnationId: string;
  readonly rackId: string;
  readonly diskId: string;
  /** The data folder was closed in order. */
  readonly cleanShutdown: boolean;
  readonly calls: ControllerCalls;
  readonly watch: MetadataWatch;
  readonly timers: Timers;
  readonly logger: Logger;
  /** Between heartbeats; the controllers' answer may change it. Default 500 ms. */
  readonly heartbeatMs: number;
  readonly failures: () => readonly { readonly topicId: string; readonly partition: number; readonly reason: string }[];
  /** Of partitions that nobody leads and that this broker might lead. */
  readonly logEnds: () => readonly LogEnd[];
  /** How far the moves are of what this broker leads. */
  readonly moves: () => readonly MoveProgress[];
  /** The broker may not go on: its registration is not the newest any more. */
  readonly onEnded: (error: DomainError) => void;
  readonly onStateChange: (state: LinkState) => void;
}

/** How far a log goes that is open and whole. */
export interface LogEnd {
  readonly topicId: string;
  readonly partition: number;
  readonly lastEpoch: number;
  readonly endOffset: bigint;
}

export type LinkState = 'starting' | 'fenced' | 'active' | 'draining';

export class ControllerLink implements AsyncDisposable {
  readonly #options: ControllerLinkOptions;
  readonly #stopping = new AbortController();
  #state: LinkState = 'starting';
  #brokerEpoch = 0 as BrokerEpoch;
  #registeredVersion = 0;
  #heartbeatMs: number;
  #wantsShutDown = false;
  #mayShutDown: (() => void) | undefined;
  #onceActive: (() => void) | undefined;
  #timer: Timer | undefined;
  #beating: Promise<void> | undefined;
  #missed = 0;

  constructor(options: ControllerLinkOptions) {
    this.#options = options;
    this.#heartbeatMs = options.heartbeatMs;
  }

  get state(): LinkState {
    return this.#state;
  }

  /** 0 before the registration. */
  get brokerEpoch(): BrokerEpoch {
    return this.#brokerEpoch;
  }

  /** Whether the metadata has reached the version of the registration. */
  get isCaughtUp(): boolean {
    return this.#brokerEpoch !== 0 && this.#options.watch.version >= this.#registeredVersion;
  }

  /**
   * Registers under these listeners; retries until a controller leads or the signal fires. Returns the cluster's id.
   * WRONG_CLUSTER, DUPLICATE_REQUEST and UNSUPPORTED_VERSION end the start.
   */
  async register(clusterId: string, endpoints: readonly EndpointImage[], signal: AbortSignal): Promise<string> {
    const { localId, incarnationId, rackId, diskId, cleanShutdown, calls, logger } = this.#options;
    const request = {
      version: apiVersion,
      clusterId,
      brokerId: localId,
      incarnationId,
      rackId,
      endpoints: endpoints.map(({ listener, host, port, tls }) => ({ listener, host, port, tls })),
      diskId,
      cleanShutdown,
      features: Object.fromEntries(supportedFeatures),
    };
    const answer = await this.#untilAnswered(signal, () =>
      calls.unary(ControllerBrokerService.method.registerBroker, request, {
        signal,
        idempotent: true,
        timeoutMs: registerTimeoutMs,
      }),
    );
    this.#brokerEpoch = toSafeInteger<BrokerEpoch>(answer.brokerEpoch, 'broker epoch');
    this.#registeredVersion = toSafeInteger<number>(answer.metadataVersion, 'metadata version');
    const interval = answer.heartbeatInterval;
    if (interval !== undefined)
      this.#heartbeatMs = Math.max(50, Number(interval.seconds) * 1_000 + interval.nanos / 1e6);
    logger.info(
      { brokerEpoch: this.#brokerEpoch, metadataVersion: this.#registeredVersion, cleanShutdown },
      'registered with the controllers',
    );
    this.#setState('fenced');
    return answer.clusterId;
  }

  /** Resolves when the metadata has reached the version of the registration. */
  untilCaughtUp(signal: AbortSignal): Promise<void> {
    return this.#options.watch.waitForVersion(this.#registeredVersion, signal);
  }

  /** Resolves when the controllers have this broker in service. */
  untilInService(signal: AbortSignal): Promise<void> {
    if (this.#state === 'active') return Promise.resolve();
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(signal.reason);
      this.#onceActive = () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
    });
  }

  /** Begins to send heartbeats. */
  start(): void {
    this.#schedule(0);
  }

  /** Sends a heartbeat now instead of at its time: something changed that the controllers should know. */
  beatSoon(): void {
    if (this.#beating === undefined && this.#state !== 'starting') this.#schedule(0);
  }

  /** Asks to hand over all leaderships. Resolves when that is done, or after `deadlineMs`. */
  async drain(deadlineMs: number): Promise<boolean> {
    if (this.#brokerEpoch === 0) return true;
    this.#setState('draining');
    this.#wantsShutDown = true;
    const { timers } = this.#options;
    return new Promise<boolean>((resolve) => {
      const timer = timers.after(deadlineMs, () => resolve(false));
      this.#mayShutDown = () => {
        timer.cancel();
        resolve(true);
      };
      this.beatSoon();
    });
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new DomainError('SHUTTING_DOWN', 'the broker stops'));
    this.#timer?.cancel();
    await this.#beating;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #schedule(delayMs: number): void {
    if (this.#stopping.signal.aborted) return;
    this.#timer?.cancel();
    this.#timer = this.#options.timers.after(delayMs, () => {
      this.#beating = this.#beat().finally(() => {
        this.#beating = undefined;
        this.#schedule(this.#heartbeatMs);
      });
    });
  }

  async #beat(): Promise<void> {
    const { localId, calls, watch, failures, logEnds, moves, logger } = this.#options;
    try {
      const answer = await calls.unary(
        ControllerBrokerService.method.heartbeatBroker,
        {
          version: apiVersion,
          brokerId: localId,
          brokerEpoch: BigInt(this.#brokerEpoch),
          metadataVersion: BigInt(watch.version),
          wantShutDown: this.#wantsShutDown,
          failedPartitions: failures().slice(0, namedMax),
          logEnds: logEnds().slice(0, namedMax),
          moving: moves()
            .slice(0, namedMax)
            .map((move) => ({
              ...move,
              copiedBytes: BigInt(move.copiedBytes),
              totalBytes: BigInt(move.totalBytes),
            })),
        },
        { signal: this.#stopping.signal, idempotent: true, timeoutMs: heartbeatTimeoutMs },
      );
      assertOk(answer);
      this.#missed = 0;
      this.#onHeartbeat(answer);
    } catch (error) {
      if (!isDomainError(error)) throw error;
      if (this.#stopping.signal.aborted) return;
      if (error.code === 'STALE_BROKER_EPOCH' || error.code === 'BROKER_NOT_FOUND') this.#end(error);
      else if (this.#missed++ === 0) {
        logger.warn({ code: error.code, reason: error.message }, 'a heartbeat found no controller that leads');
      }
    }
  }

  #onHeartbeat(answer: BrokerHeartbeatResponse): void {
    if (answer.mayShutDown) this.#mayShutDown?.();
    if (this.#state === 'draining') return;
    this.#setState(answer.fenced || !this.isCaughtUp ? 'fenced' : 'active');
  }

  #end(error: DomainError): void {
    this.#stopping.abort(error);
    this.#options.onEnded(error);
  }

  #setState(state: LinkState): void {
    if (state === this.#state) return;
    this.#options.logger.info({ from: this.#state, to: state }, 'the state of this broker has changed');
    this.#state = state;
    this.#options.onStateChange(state);
    if (state !== 'active') return;
    this.#onceActive?.();
    this.#onceActive = undefined;
  }

  async #untilAnswered(
    signal: AbortSignal,
    call: () => Promise<RegisterBrokerResponse>,
  ): Promise<RegisterBrokerResponse> {
    for (;;) {
      try {
        const answer = await call();
        assertOk(answer);
        return answer;
      } catch (error) {
        if (!isDomainError(error) || !error.retriable || signal.aborted) throw error;
        this.#options.logger.warn({ code: error.code, reason: error.message }, 'not registered yet');
      }
    }
  }
}

const registerTimeoutMs = 10_000;
const heartbeatTimeoutMs = 2_000;
/** Partitions of each kind that one heartbeat names; the others follow once these are settled. */
const namedMax = 1_000;
