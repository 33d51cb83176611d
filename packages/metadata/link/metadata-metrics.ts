/** What a broker or gateway tells of the metadata that it follows. */
import type { MetadataWatch } from './metadata-watch.ts';

/** The part of a metrics registry that is used here. */
interface Gauges {
  observed(options: { readonly name: string; readonly help: string }, read: () => number): void;
}

export function addMetadataMetrics(metrics: Gauges, watch: Pick<MetadataWatch, 'version' | 'ageMs'>): void {
  metrics.observed({ name: 'fleetmq_metadata_version', help: 'Version of the metadata that is known.' }, () => {
    return watch.version;
  });
  metrics.observed(
    { name: 'fleetmq_metadata_age_seconds', help: 'Since a controller was last heard; -1: never.' },
    () => (Number.isFinite(watch.ageMs()) ? watch.ageMs() / 1_000 : -1),
  );
}
