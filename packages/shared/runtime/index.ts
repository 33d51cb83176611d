export { observeCalls } from './call-metrics.ts';
export { type ConfigInputs, configJsonSchema, formatConfig, type LoadedConfig, loadConfig } from './config.ts';
export { type ConfigSchema, type Setting, secret } from './config-schema.ts';
export type { Origin } from './config-sources.ts';
export { type DataFolder, type DataFolderOptions, openDataFolder } from './data-folder.ts';
export {
  createHealthState,
  type HealthOptions,
  type HealthState,
  healthRoutes,
  type ServingStatus,
} from './health-service.ts';
export { holdUntilLeft, notTaken, observeAnswers } from './held-answers.ts';
export { deadlineInterceptor } from './interceptors/deadline.ts';
export { errorInterceptor } from './interceptors/errors.ts';
export { bridgeRaw, bridgeRoute } from './lane/bridge.ts';
export {
  createLaneTransport,
  type LaneClientLimits,
  type LaneTransport,
  type LaneTransportOptions,
  type RawBidiCall,
  type RawCallOptions,
} from './lane/client.ts';
export { connectionKey, connectionOf, type PeerConnection } from './lane/connection.ts';
export { messageLength, type OwnedMessage, type RawMessage } from './lane/frames.ts';
export type { CallObservation, Gate, GateCall, LaneLimits } from './lane/limits.ts';
export * from './lane/raw.ts';
export { createLane, defaultLaneLimits, type Lane, type LaneOptions } from './lane/server.ts';
export type { ClientTls } from './lane/session.ts';
export { runService, type ServiceContext, type ServiceDefinition } from './lifecycle.ts';
export { listenerLimitsOf, listenerSettings } from './listener-settings.ts';
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
export { reflectionRoutes } from './reflection.ts';
export { createRpcPool, type RpcPool, type RpcPoolOptions } from './rpc-client.ts';
export {
  fromConnectError,
  toConnectError,
  toDomainError,
  toErrorResponse,
} from './rpc-errors.ts';
export * from './rpc-server.ts';
export { type ConnectParts, connectHandler } from './rpc-server-connect.ts';
export { defaultListenerLimits, type ListenerLimits, type NodeHandler } from './rpc-server-limits.ts';
export { createSniffingServer, type SniffingServer, type SniffingServerOptions } from './rpc-server-listener.ts';
export * from './tls.ts';
