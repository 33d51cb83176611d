/**
 * Calls under way in the simulated network. Each ends once at its caller: answered, failed, timed out or given up; the server
 * hears of the caller's end, if the news gets through. A process that was killed resets its connections, one that lost power
 * says nothing: then half-open connections end after a while.
 */
import { DomainError } from '@fleetmq/shared';
import type { Scheduled, VirtualTime } from './clock.ts';
import type { Links } from './links.ts';
import type { SimProcess } from './process.ts';

/** Who calls whom, and how long the caller waits. */
export interface CallEnds {
  readonly from: number;
  readonly to: number;
  readonly process: SimProcess;
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number | undefined;
}

export interface OpenCall {
  readonly client: SimProcess;
  server: SimProcess | undefined;
  readonly from: number;
  readonly to: number;
  /** Aborts when the caller is gone. */
  readonly signal: AbortSignal;
  /** The server hears that the caller is gone, if it has the call. */
  abort(reason: DomainError): void;
  /** Ends the call. False when it has ended before. */
  settle(): boolean;
  /** At the client. */
  fail(error: DomainError): void;
  /** The caller ends it; the server hears of it, if the news gets through. */
  giveUp(reason: DomainError): void;
}

export class OpenCalls {
  readonly #links: Links;
  readonly #time: VirtualTime;
  readonly #open = new Set<OpenCall>();

  constructor(links: Links, time: VirtualTime) {
    this.#links = links;
    this.#time = time;
  }

  /** Undefined when the caller has given up already. */
  begin({ from, to, process, signal, timeoutMs }: CallEnds, onFailure: (error: unknown) => void): OpenCall | undefined {
    if (signal?.aborted === true) {
      onFailure(signal.reason);
      return undefined;
    }
    let timer: Scheduled | undefined;
    // Made when somebody listens.
    let atServer: AbortController | undefined;
    const settle = (): boolean => {
      if (!this.#open.delete(open)) return false;
      timer?.cancel();
      signal?.removeEventListener('abort', onAbort);
      return true;
    };
    const giveUp = (error: unknown): void => {
      if (!settle()) return;
      this.#links.send(from, to, () => open.abort(new DomainError('CANCELLED', 'the caller gave up')));
      onFailure(error);
    };
    const onAbort = (): void => giveUp(signal?.reason);
    const open: OpenCall = {
      client: process,
      server: undefined,
      from,
      to,
      get signal() {
        atServer ??= new AbortController();
        return atServer.signal;
      },
      abort: (reason) => open.server?.run(() => atServer?.abort(reason)),
      settle,
      fail: (error) => {
        if (settle()) onFailure(error);
      },
      giveUp,
    };
    this.#open.add(open);
    signal?.addEventListener('abort', onAbort, { once: true });
    if (timeoutMs !== undefined) {
      timer = process.timers.after(timeoutMs, () => giveUp(new DomainError('TIMEOUT', `no answer in ${timeoutMs} ms`)));
    }
    return open;
  }

  /** To be called when a process has ended. `breakMs`: after which half-open connections end; undefined: all are told. */
  ended(process: SimProcess, breakMs: number | undefined): void {
    for (const call of [...this.#open]) {
      if (call.client === process) {
        this.#open.delete(call);
        this.#time.after(breakMs ?? 1, () => call.abort(connectionLost()));
      } else if (call.server === process && breakMs === undefined) {
        this.#links.send(call.to, call.from, () => call.fail(connectionLost()));
      }
    }
  }

  /** Nothing comes from this process any more: whoever waits for it is told. */
  lostServer(process: SimProcess): void {
    this.#lost((call) => call.server === process);
  }

  /** Nothing goes from one address to the other any more, and so no answer the other way either: both ends are told. */
  lostLink(from: number, to: number): void {
    this.#lost((call) => (call.from === from && call.to === to) || (call.from === to && call.to === from));
  }

  #lost(isLost: (call: OpenCall) => boolean): void {
    for (const call of [...this.#open].filter(isLost)) {
      call.client.run(() => call.fail(connectionLost()));
      call.abort(connectionLost());
    }
  }
}

export function connectionLost(): DomainError {
  return new DomainError('NOT_AVAILABLE', 'the connection was lost', { outcomeUnknown: true });
}
