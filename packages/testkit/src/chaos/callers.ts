/**
 * The ways in which a client reaches the controllers: by the production client that looks for the leader and remembers it,
 * straight to one controller whatever it is, or through the gateway. Connections belong to one client; a silent peer is
 * given up after two seconds, so that a healed link is used again at once.
 */
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { ControllerCalls } from '@fleetmq/metadata/link';
import type { Random } from '@fleetmq/shared';
import { createRpcPool, nodeClock, nodeTimers, type RpcPool } from '@fleetmq/shared/runtime';
import type { Seat } from './cluster.ts';

export interface CallOptions {
  readonly timeoutMs: number;
  readonly idempotent?: boolean;
}

export interface Caller {
  /** Throws DomainErrors. */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    input: MessageInitShape<I>,
    options: CallOptions,
  ): Promise<MessageShape<O>>;
}

/** One client's connections. */
export function createClientPool(): RpcPool {
  return createRpcPool({ connectTimeoutMs: 1_000, keepalive: { intervalMs: 1_000, timeoutMs: 1_000 } });
}

/** Begins with a seat that chance chooses. */
export function followingCaller(pool: RpcPool, seats: readonly Seat[], random: Random): Caller {
  const first = Math.floor(random.next() * seats.length);
  const controllers = [...seats.slice(first), ...seats.slice(0, first)];
  const calls = new ControllerCalls({
    controllers: controllers.map(({ id, host, port }) => ({ controllerId: id, host, port })),
    transportOf: ({ host, port }) => pool.get(`http://${host}:${port}`),
    clock: nodeClock,
    timers: nodeTimers,
    random,
    attemptTimeoutMs: 1_000,
  });
  return { call: (method, input, options) => calls.unary(method, input, options) };
}

/** One attempt at one address. */
export function directCaller(pool: RpcPool, url: string): Caller {
  return {
    call: async (method, input, { timeoutMs }) => {
      return (await pool.get(url).unary(method, undefined, timeoutMs, undefined, input)).message;
    },
  };
}

export function urlOf({ host, port }: Pick<Seat, 'host' | 'port'>): string {
  return `http://${host}:${port}`;
}
