export { authorityOf, type ControllerAddress, parseAddress, parseControllers } from './addresses.ts';
export {
  type ControllerCallOptions,
  ControllerCalls,
  type ControllerCallsOptions,
  nextStep,
} from './controller-calls.ts';
export { addMetadataMetrics } from './metadata-metrics.ts';
export { type MetadataRoutesOptions, metadataRoutes } from './metadata-routes.ts';
export { type MetadataListener, MetadataWatch, type MetadataWatchOptions } from './metadata-watch.ts';
