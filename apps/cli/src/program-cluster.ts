/** The grammar of the nouns about the cluster itself: cluster, controller, broker, partition. */
import type { Command } from 'commander';
import type { DrainOptions } from './commands/broker.ts';
import type { HealthOptions } from './commands/cluster.ts';
import type { AddOptions, RemoveOptions, ReplaceOptions } from './commands/controller.ts';
import type { UpgradeOptions } from './commands/features.ts';
import type { LeadOptions } from './commands/leaders.ts';
import type { CancelOptions, MoveOptions, MovesOptions } from './commands/partition.ts';
import { checked, common } from './grammar.ts';
import { collectPair, collectPartitions, parseBrokers, parseBytes, parseDuration, parsePositive } from './parse.ts';
import type { CommonOptions } from './session.ts';
import type { Terminal } from './terminal.ts';

export function addCluster(program: Command, terminal: Terminal): void {
  const cluster = program.command('cluster').description('the cluster itself');
  common(cluster.command('describe'), 'table, json or ndjson')
    .description('controllers, brokers, and what is wrong')
    .action(async (options: CommonOptions) =>
      (await import('./commands/cluster.ts')).describeCluster(terminal, options),
    );
  common(cluster.command('health'), 'table, json or ndjson')
    .description('what is wrong; exit code 1 if anything is')
    .option('--watch', 'look again and again, and tell what has changed')
    .option('--exit-when-healthy', 'watch until nothing is wrong')
    .option('--interval <duration>', 'between two looks', checked(parseDuration), 500)
    .action(async (options: HealthOptions) => (await import('./commands/cluster.ts')).clusterHealth(terminal, options));
  common(cluster.command('features'), 'table, json or ndjson')
    .description('levels of formats and behaviours: in use, and what every node knows')
    .action(async (options: CommonOptions) => (await import('./commands/features.ts')).listFeatures(terminal, options));
  common(cluster.command('upgrade'), 'table, json or ndjson')
    .description('bring the highest levels into use that every node knows; there is no way back')
    .option('--feature <name=level>', 'only this one; may be given more than once', checked(collectPair))
    .option('--dry-run', 'only check')
    .option('--yes', 'do not ask')
    .action(async (options: UpgradeOptions) =>
      (await import('./commands/features.ts')).upgradeCluster(terminal, options),
    );
}

export function addController(program: Command, terminal: Terminal): void {
  const controller = program.command('controller').description('the quorum of the controllers');
  const outputs = 'table, json or ndjson';
  common(controller.command('status'), outputs)
    .description('who leads, who votes, how far each has come')
    .action(async (options: CommonOptions) =>
      (await import('./commands/controller.ts')).listControllers(terminal, options),
    );
  common(controller.command('add <host:port>'), outputs)
    .description('add a controller that runs with quorum.join = true; waits until it votes')
    .option('--id <id>', 'it must be this one', checked(parsePositive))
    .option('--disk-id <id>', 'its disk, so that it need not run yet')
    .option('--learner', 'do not let it vote')
    .option('--no-wait', 'do not wait until it votes')
    .action(async (address: string, options: AddOptions) =>
      (await import('./commands/controller.ts')).addController(terminal, address, options),
    );
  common(
    controller.command('replace').argument('<id>', 'who goes', checked(parsePositive)).argument('<host:port>'),
    outputs,
  )
    .description('put a controller that runs with quorum.join = true in the place of a voter; waits until that is done')
    .option('--id <id>', 'it must be this one', checked(parsePositive))
    .option('--disk-id <id>', 'its disk, so that it need not run yet')
    .option('--yes', 'do not ask')
    .option('--no-wait', 'do not wait until it votes')
    .action(async (replacedId: number, address: string, options: ReplaceOptions) =>
      (await import('./commands/controller.ts')).replaceController(terminal, { replacedId, address }, options),
    );
  common(controller.command('remove').argument('<id>', 'which', checked(parsePositive)), outputs)
    .description('remove a controller; its data folder cannot come back')
    .option('--force', 'even if the rest would have no active majority')
    .option('--yes', 'do not ask')
    .action(async (id: number, options: RemoveOptions) =>
      (await import('./commands/controller.ts')).removeController(terminal, id, options),
    );
  common(
    controller.command('transfer').argument('[id]', 'who shall lead (default: any)', checked(parsePositive)),
    outputs,
  )
    .description('move the leadership to another controller')
    .action(async (id: number | undefined, options: CommonOptions) =>
      (await import('./commands/controller.ts')).transferController(terminal, id ?? 0, options),
    );
}

export function addBroker(program: Command, terminal: Terminal): void {
  const broker = program.command('broker').description('the brokers');
  common(broker.command('drain').argument('<id>', 'which', checked(parsePositive)), 'table, json or ndjson')
    .description('hand its leaderships over, and keep it from leading, also after restarts')
    .option('--move-replicas', 'also its replicas, so that it can go for good')
    .option('--throttle <bytes>', 'with --move-replicas: bytes per second and broker, such as 10M', checked(parseBytes))
    .option('--cancel', 'it serves again')
    .option('--no-wait', 'do not wait until it is empty')
    .action(async (id: number, options: DrainOptions) =>
      (await import('./commands/broker.ts')).drainBroker(terminal, id, options),
    );
}

export function addPartition(program: Command, terminal: Terminal): void {
  const partition = program.command('partition').description('where partitions are, and who leads them');
  const outputs = 'table, json or ndjson';
  common(partition.command('move <topic>'), outputs)
    .description('move replicas to other brokers; without --to so that all are loaded alike')
    .option('-p, --partition <numbers>', 'only these partitions: 3, 0,2 or 0-5', checked(collectPartitions))
    .option('--to <ids>', 'brokers, the first is the preferred leader: 4,5,6', checked(parseBrokers))
    .option('-r, --replication-factor <count>', 'how many replicas there shall be', checked(parsePositive))
    .option('--throttle <bytes>', 'bytes per second and broker, such as 10M (default: none)', checked(parseBytes))
    .option('--dry-run', 'only show the plan')
    .option('--no-wait', 'do not wait until all have moved')
    .action(async (topic: string, options: MoveOptions) =>
      (await import('./commands/partition.ts')).movePartitions(terminal, topic, options),
    );
  common(partition.command('lead [topic]'), outputs)
    .description('hand partitions over to their preferred leaders; without a topic all that are led by others')
    .option('-p, --partition <numbers>', 'only these partitions: 3, 0,2 or 0-5', checked(collectPartitions))
    .option('--to <id>', 'to this broker', checked(parsePositive))
    .action(async (topic: string | undefined, options: LeadOptions) =>
      (await import('./commands/leaders.ts')).electLeaders(terminal, topic, options),
    );
  common(partition.command('moves'), outputs)
    .description('what moves, and what has moved lately')
    .option('--watch', 'look again and again, and tell what has changed')
    .action(async (options: MovesOptions) => (await import('./commands/partition.ts')).listMoves(terminal, options));
  common(partition.command('cancel <reassignment>'), outputs)
    .description('what has not moved yet goes back')
    .option('--yes', 'do not ask')
    .action(async (id: string, options: CancelOptions) =>
      (await import('./commands/partition.ts')).cancelMove(terminal, id, options),
    );
}
