/**
 * Features: formats and behaviours of the whole cluster that have levels. A node knows levels up to the one in this table;
 * the cluster uses the level that its metadata name. A level comes into use by an operator's command, and only once every
 * node knows it (KIP-584); until then nothing is written that an older node would not understand, so that a fleet can be
 * upgraded one node at a time, and back again, until the level rises.
 *
 * Invariants: levels in use only rise; a feature that the metadata do not name is at level 1.
 */
import { DomainError } from '@fleetmq/shared';
import { compareText } from './values.ts';

interface Feature {
  /** Highest level that this version knows. */
  readonly level: number;
  /** What each level brings, from level 2 on. */
  readonly brings: readonly string[];
}

export const features = {
  'metadata.version': {
    level: 3,
    brings: [
      'replicas move to other brokers, settings of the cluster change by compare-and-set, controllers are replaced in one step',
      'replicas that left the ISR with all committed records may lead (KIP-966), brokers stay drained, moves are throttled',
    ],
  },
} as const satisfies Record<string, Feature>;

export type FeatureName = keyof typeof features;
export type FeatureLevels = ReadonlyMap<string, number>;

const lowestLevel = 1;

/** What this version knows, by name: what a node says of itself. */
export const supportedFeatures: FeatureLevels = new Map(
  Object.entries(features)
    .map(([name, { level }]): [string, number] => [name, level])
    .sort(([left], [right]) => compareText(left, right)),
);

export function levelOf(levels: FeatureLevels, name: string): number {
  return levels.get(name) ?? lowestLevel;
}

/** What a level brings, for people; empty for one that this version does not know. */
export function whatLevelBrings(name: string, level: number): string {
  const known: Readonly<Record<string, Feature>> = features;
  return known[name]?.brings[level - lowestLevel - 1] ?? '';
}

/** Of the levels `inUse`, the first that somebody who knows `supported` cannot work with. */
export function unsupportedFeature(inUse: FeatureLevels, supported: FeatureLevels): string | undefined {
  for (const [name, level] of inUse) {
    const known = levelOf(supported, name);
    if (known < level) return `${name} is at level ${level}, and ${known} is the highest that is known`;
  }
  return undefined;
}

/** UNSUPPORTED_VERSION while the cluster does not use this level: `what` is what needs it. */
export function requireLevel(
  inUse: FeatureLevels,
  { name, level, what }: { readonly name: FeatureName; readonly level: number; readonly what: string },
): void {
  const now = levelOf(inUse, name);
  if (now >= level) return;
  throw new DomainError(
    'UNSUPPORTED_VERSION',
    `${what} needs ${name} ${level}, and the cluster is at ${now}: run "fleetmq cluster upgrade" once all nodes are upgraded`,
  );
}
