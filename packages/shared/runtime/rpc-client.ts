/**
 * A pool of client transports, one per address, for callers that talk to many nodes. A transport without calls is closed
 * after a while; one that is asked for again is opened anew.
 *
 * Bounded in addresses: beyond the bound the one that was idle longest makes room, and if none is idle the call is refused.
 */
import { DomainError } from '@fleetmq/shared';
import { createLaneTransport, type LaneTransport, type LaneTransportOptions } from './lane/client.ts';

export interface RpcPoolOptions extends Omit<LaneTransportOptions, 'baseUrl'> {
  /** Addresses at a time. Default 1,000. */
  readonly transportsMax?: number;
  /** A transport without calls is closed after this. Default 5 min. */
  readonly idleMs?: number;
  /** How often idle transports are looked for. Default 30 s. */
  readonly checkMs?: number;
}

export interface RpcPool extends AsyncDisposable {
  /** The transport for an address such as `http://host:port`. Ask again for each piece of work: an idle one gets closed. */
  get(baseUrl: string): LaneTransport;
  /** Addresses with a transport. */
  readonly size: number;
  /** Closes all transports; their calls end with CANCELLED. */
  close(): Promise<void>;
}

interface Entry {
  readonly transport: LaneTransport;
  usedAtMs: number;
}

export function createRpcPool(options: RpcPoolOptions = {}): RpcPool {
  const { transportsMax = 1_000, idleMs = 300_000, checkMs = 30_000, ...transportOptions } = options;
  const entries = new Map<string, Entry>();
  const closing = new Set<Promise<void>>();
  let isClosed = false;

  function drop(baseUrl: string, { transport }: Entry): void {
    entries.delete(baseUrl);
    const closed = transport.close().finally(() => closing.delete(closed));
    closing.add(closed);
  }

  function makeRoom(): void {
    let oldest: [string, Entry] | undefined;
    for (const candidate of entries) {
      const isOlder = oldest === undefined || candidate[1].usedAtMs < oldest[1].usedAtMs;
      if (candidate[1].transport.openCalls === 0 && isOlder) oldest = candidate;
    }
    if (oldest === undefined) {
      throw new DomainError('LIMIT_EXCEEDED', `calls to ${entries.size} addresses are open, the most there may be`);
    }
    drop(...oldest);
  }

  const watch = setInterval(() => {
    const nowMs = performance.now();
    for (const [baseUrl, entry] of entries) {
      if (entry.transport.openCalls > 0) entry.usedAtMs = nowMs;
      else if (nowMs - entry.usedAtMs >= idleMs) drop(baseUrl, entry);
    }
  }, checkMs);
  watch.unref();

  const close = async (): Promise<void> => {
    isClosed = true;
    clearInterval(watch);
    for (const [baseUrl, entry] of entries) drop(baseUrl, entry);
    await Promise.all(closing);
  };
  return {
    get(baseUrl) {
      if (isClosed) throw new DomainError('CANCELLED', 'the pool of connections is closed');
      let entry = entries.get(baseUrl);
      if (entry === undefined) {
        if (entries.size >= transportsMax) makeRoom();
        entry = { transport: createLaneTransport({ ...transportOptions, baseUrl }), usedAtMs: 0 };
        entries.set(baseUrl, entry);
      }
      entry.usedAtMs = performance.now();
      return entry.transport;
    },
    get size() {
      return entries.size;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
