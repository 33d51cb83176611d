/**
 * Which levels of the features every node knows, and which may come into use. A level that one node does not know would shut
 * it out, so a node that does not answer counts as one that may not know it.
 */
import {
  compareText,
  type FeatureLevels,
  features,
  levelOf,
  supportedFeatures,
  whatLevelBrings,
} from '@fleetmq/metadata';
import { DomainError } from '@fleetmq/shared';
import type { SetFeatures } from './commands.ts';

/** What a node says that it knows; undefined: it does not answer. */
export interface NodeFeatures {
  /** "controller 2", "broker 3". */
  readonly node: string;
  readonly features: FeatureLevels | undefined;
}

export interface FeatureReport {
  readonly name: string;
  /** In use. */
  readonly level: number;
  /** What every node knows; 0 when a node does not answer. */
  readonly supportedLevel: number;
  /** The nodes that know no more than that, when this one does; or that do not answer. */
  readonly limitedBy: readonly string[];
  /** What the next level brings; empty: there is none here. */
  readonly next: string;
}

/** By name. */
export function reportFeatures(inUse: FeatureLevels, nodes: readonly NodeFeatures[]): readonly FeatureReport[] {
  const names = new Set([...Object.keys(features), ...inUse.keys()]);
  return [...names].sort(compareText).map((name) => reportOne(name, inUse, nodes));
}

function reportOne(name: string, inUse: FeatureLevels, nodes: readonly NodeFeatures[]): FeatureReport {
  const level = levelOf(inUse, name);
  const next = whatLevelBrings(name, level + 1);
  const silent = nodes.filter((each) => each.features === undefined).map(({ node }) => `${node} (does not answer)`);
  if (silent.length > 0) return { name, level, supportedLevel: 0, limitedBy: silent, next };
  const own = levelOf(supportedFeatures, name);
  const levels = nodes.map((each) => levelOf(each.features ?? new Map(), name));
  const supportedLevel = Math.min(own, ...levels);
  const limitedBy = supportedLevel === own ? [] : nodes.filter((_, at) => levels[at] === supportedLevel);
  return { name, level, supportedLevel, limitedBy: limitedBy.map(({ node }) => node), next };
}

/**
 * The command that brings `wanted` into use; empty: the highest levels that every node knows. INVALID_REQUEST for a feature
 * that does not exist and for a lower level; UNSUPPORTED_VERSION, NOT_AVAILABLE with the nodes that stand in the way.
 */
export function planFeatures(reports: readonly FeatureReport[], wanted: FeatureLevels): SetFeatures {
  const byName = new Map(reports.map((report) => [report.name, report]));
  const targets =
    wanted.size > 0 ? [...wanted] : reports.map(({ name, supportedLevel }): [string, number] => [name, supportedLevel]);
  for (const [name, level] of targets) {
    const report = byName.get(name);
    if (report === undefined) {
      throw new DomainError(
        'INVALID_REQUEST',
        `there is no feature "${name.slice(0, 64)}": ${[...byName.keys()].join(', ')}`,
      );
    }
    checkTarget(report, level);
  }
  return { kind: 'set-features', levels: new Map(targets) };
}

function checkTarget({ name, level: now, supportedLevel, limitedBy }: FeatureReport, level: number): void {
  if (supportedLevel === 0) {
    throw new DomainError('NOT_AVAILABLE', `what every node knows of ${name} cannot be told: ${limitedBy.join(', ')}`);
  }
  if (level < now) {
    throw new DomainError('INVALID_REQUEST', `${name} is at level ${now}: levels only rise, ${level} is lower`);
  }
  if (level <= supportedLevel) return;
  const why = limitedBy.length === 0 ? '' : `, because of ${limitedBy.join(', ')}`;
  throw new DomainError('UNSUPPORTED_VERSION', `${name} can rise to ${supportedLevel}, not to ${level}${why}`);
}
