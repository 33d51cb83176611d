/** Levels of features as answers of AdminService. */
import { create } from '@bufbuild/protobuf';
import { type FeatureLevel, FeatureLevelSchema } from '@fleetmq/gen/controller/admin';
import type { FeatureReport } from '../domain/feature-levels.ts';

export function featuresToProto(reports: readonly FeatureReport[]): FeatureLevel[] {
  return reports.map((report) => create(FeatureLevelSchema, { ...report, limitedBy: [...report.limitedBy] }));
}
