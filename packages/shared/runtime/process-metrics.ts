/** Metrics that every process has: build, start time, memory, event loop delay. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { MetricsRegistry } from './metrics.ts';

const quantiles = [50, 99, 100] as const;

/** Adds them to the registry; disposing stops the measuring. */
export function addProcessMetrics(
  metrics: MetricsRegistry,
  build: { readonly service: string; readonly version: string },
): Disposable {
  metrics
    .gauges({
      name: 'fleetmq_build_info',
      help: 'Always 1; the labels tell what runs.',
      labels: ['service', 'version', 'node'],
    })
    .series(build.service, build.version, process.version).value = 1;
  metrics.observed({ name: 'fleetmq_start_time_seconds', help: 'When the process started, in Unix time.' }, () =>
    Math.round(Date.now() / 1000 - process.uptime()),
  );
  metrics.observed({ name: 'fleetmq_memory_bytes', help: 'Memory of the process by kind.', labels: ['kind'] }, () => {
    const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage();
    return Object.entries({ rss, heapUsed, external, arrayBuffers }).map(([kind, value]) => ({
      labels: [kind],
      value,
    }));
  });
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  metrics.observed(
    {
      name: 'fleetmq_event_loop_lag_seconds',
      help: 'How late the event loop ran since the last reading.',
      labels: ['quantile'],
    },
    () => {
      const readings = quantiles.map((quantile) => ({
        labels: [String(quantile / 100)],
        // The histogram counts the whole interval of 20 ms; what exceeds it is lag.
        value: Math.max(0, delay.percentile(quantile) / 1e9 - 0.02),
      }));
      delay.reset();
      return readings;
    },
  );
  return { [Symbol.dispose]: () => delay.disable() };
}
