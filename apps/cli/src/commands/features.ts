/** `fleetmq cluster features | upgrade`: levels of the cluster's formats and behaviours. */
import type { FeatureLevel } from '@fleetmq/gen/controller/admin';
import { parsePositive } from '../parse.ts';
import { type Column, plainOf, printRows } from '../print.ts';
import { type CommonOptions, confirm, listFormats, outputOf, withClient } from '../session.ts';
import type { Terminal } from '../terminal.ts';

const columns: Column<FeatureLevel>[] = [
  { title: 'FEATURE', value: ({ name }) => name },
  { title: 'LEVEL', value: ({ level }) => level, align: 'right' },
  { title: 'EVERY NODE KNOWS', value: ({ supportedLevel }) => supportedLevel || '?', align: 'right' },
  { title: 'HELD BACK BY', value: ({ limitedBy }) => limitedBy.join(', ') },
  { title: 'THE NEXT LEVEL BRINGS', value: ({ next }) => next },
];

export async function listFeatures(terminal: Terminal, options: CommonOptions): Promise<void> {
  const format = outputOf(options, listFormats, 'table');
  const { FeatureLevelSchema } = await import('@fleetmq/gen/controller/admin');
  await withClient(terminal, options, async ({ admin }) => {
    const features = await admin.features.list();
    await printRows(terminal, format, features, columns, (each) => plainOf(FeatureLevelSchema, each));
  });
}

export interface UpgradeOptions extends CommonOptions {
  readonly feature?: readonly (readonly [string, string])[];
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

export async function upgradeCluster(terminal: Terminal, options: UpgradeOptions): Promise<void> {
  const format = outputOf(options, listFormats, 'table');
  const { feature = [], dryRun = false, yes } = options;
  const levels = Object.fromEntries(feature.map(([name, level]) => [name, parsePositive(level)]));
  const question =
    'Bring new formats into use? Nodes of older versions cannot take part any more, and there is no way back.';
  if (!dryRun) await confirm(terminal, question, yes);
  const { FeatureLevelSchema } = await import('@fleetmq/gen/controller/admin');
  await withClient(terminal, options, async ({ admin }) => {
    const features = await admin.features.update({ levels, validateOnly: dryRun });
    await printRows(terminal, format, features, columns, (each) => plainOf(FeatureLevelSchema, each));
  });
}
