export { type ConfigInputs, configJsonSchema, formatConfig, type LoadedConfig, loadConfig } from './config.ts';
export { type ConfigSchema, type Setting, secret } from './config-schema.ts';
export type { Origin } from './config-sources.ts';
export { type DataFolder, type DataFolderOptions, openDataFolder } from './data-folder.ts';
export { runService, type ServiceContext, type ServiceDefinition } from './lifecycle.ts';
export { createLogger, type LeveledLogger, type LoggerOptions, type LogLevel, logLevels } from './logger.ts';
export {
  Counter,
  type Family,
  type FamilyOptions,
  Gauge,
  Histogram,
  type HistogramOptions,
  latencyBounds,
  MetricsRegistry,
  type Reading,
} from './metrics.ts';
export { nodeChecksum } from './node-checksum.ts';
export { nodeClock, nodeTimers } from './node-clock.ts';
export { type NodeDiskOptions, openNodeDisk } from './node-disk.ts';
export { nodeRandom } from './node-random.ts';
export { type OpsOptions, type OpsServer, startOps } from './ops.ts';
export { addProcessMetrics } from './process-metrics.ts';
export { Readiness, type ReadinessReport } from './readiness.ts';
