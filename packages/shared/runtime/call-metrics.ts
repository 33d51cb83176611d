/** What every server counts of its calls, under one name and with the same labels in all roles. */
import type { CallObservation } from './lane/limits.ts';
import { latencyBounds, type MetricsRegistry } from './metrics.ts';

/** Adds the histogram of call durations to a registry. The result is a server's `onCall`. */
export function observeCalls(registry: MetricsRegistry): (observation: CallObservation) => void {
  const durations = registry.histograms({
    name: 'fleetmq_request_duration_seconds',
    help: 'Calls by service, method and code, from the request to the end of the answer.',
    labels: ['service', 'method', 'code'],
    bounds: latencyBounds,
  });
  return ({ method, code, durationMs }) => {
    durations.series(method.parent.typeName, method.name, code).observe(durationMs / 1_000);
  };
}
