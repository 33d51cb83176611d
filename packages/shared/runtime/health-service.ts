/**
 * grpc.health.v1: what each service of this process says of itself, to Check, List and Watch. The state is one object that
 * the composition root changes; the name '' stands for the process as a whole.
 *
 * A watcher sees the state at once and then each change; when changes come faster than it reads, it sees the newest only,
 * so nothing is queued. Watchers are bounded. Spec: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 */
import { Code, ConnectError } from '@connectrpc/connect';
import { Health, HealthCheckResponse_ServingStatus } from '@fleetmq/gen/grpc/health/v1/health';
import { DomainError } from '@fleetmq/shared';
import { type ServiceRoutes, typedRoutes } from './lane/raw.ts';

export type ServingStatus = 'serving' | 'not_serving';

export interface HealthState {
  /** Service names are those of the contract, such as `rustmq.client.ProducerService`; '' is the whole process. */
  set(service: string, status: ServingStatus): void;
  /** Sets every known service, as at the start of a shutdown. */
  setAll(status: ServingStatus): void;
  /** Undefined for a service that nobody has set. */
  get(service: string): ServingStatus | undefined;
  entries(): ReadonlyMap<string, ServingStatus>;
  /** Calls back after each change of any service until it is disposed of. */
  subscribe(listener: () => void): Disposable;
}

export interface HealthOptions {
  /** Open Watch calls; more get LIMIT_EXCEEDED. Default 1,000. */
  readonly watchersMax?: number;
}

/** Starts with the whole process at `not_serving`: nothing serves before it says so. */
export function createHealthState(): HealthState {
  const statuses = new Map<string, ServingStatus>([['', 'not_serving']]);
  const listeners = new Set<() => void>();
  const change = (service: string, status: ServingStatus): boolean => {
    if (statuses.get(service) === status) return false;
    statuses.set(service, status);
    return true;
  };
  const notify = (): void => {
    for (const listener of listeners) listener();
  };
  return {
    set(service, status) {
      if (change(service, status)) notify();
    },
    setAll(status) {
      const changes = [...statuses.keys()].filter((service) => change(service, status));
      if (changes.length > 0) notify();
    },
    get: (service) => statuses.get(service),
    entries: () => statuses,
    subscribe(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
  };
}

function wireStatus(status: ServingStatus | undefined): HealthCheckResponse_ServingStatus {
  if (status === undefined) return HealthCheckResponse_ServingStatus.SERVICE_UNKNOWN;
  const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;
  return status === 'serving' ? SERVING : NOT_SERVING;
}

/** The service over a state. Watches end when `draining` aborts, so that they do not hold up a shutdown. */
export function healthRoutes(state: HealthState, draining: AbortSignal, options: HealthOptions = {}): ServiceRoutes {
  const watchersMax = options.watchersMax ?? 1_000;
  let watchers = 0;
  return typedRoutes(Health, {
    check({ service }) {
      const status = state.get(service);
      if (status === undefined) throw new ConnectError(`no service named "${service}" here`, Code.NotFound);
      return { status: wireStatus(status) };
    },
    list() {
      const statuses = [...state.entries()].map(([service, status]) => [service, { status: wireStatus(status) }]);
      return { statuses: Object.fromEntries(statuses) };
    },
    async *watch({ service }, context) {
      if (watchers >= watchersMax) throw new DomainError('LIMIT_EXCEEDED', `${watchers} health watches are open`);
      watchers++;
      try {
        for await (const status of changes(state, service, AbortSignal.any([context.signal, draining]))) {
          yield { status: wireStatus(status) };
        }
      } finally {
        watchers--;
      }
      if (draining.aborted) throw new DomainError('SHUTTING_DOWN', 'the server is closing');
    },
  });
}

/** The status now and then after each change, until the signal aborts. */
async function* changes(
  state: HealthState,
  service: string,
  signal: AbortSignal,
): AsyncGenerator<ServingStatus | undefined, void> {
  let wake = (): void => undefined;
  const onEvent = (): void => wake();
  using _ = state.subscribe(onEvent);
  signal.addEventListener('abort', onEvent, { once: true });
  try {
    let told: ServingStatus | undefined | 'nothing' = 'nothing';
    while (!signal.aborted) {
      const status = state.get(service);
      if (status !== told) {
        told = status;
        yield status;
        continue;
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    signal.removeEventListener('abort', onEvent);
  }
}
