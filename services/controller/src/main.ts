/** Runs a controller until it is told to stop. Prints one JSON line on stdout when its listeners are open. */
import { runService } from '@fleetmq/shared/runtime';
import { controllerSchema } from './config.ts';
import { createController } from './controller.ts';

await runService({
  name: 'controller',
  schema: controllerSchema,
  logLevel: (config) => config.log.level,
  start: async (config, { logger, fail }) => {
    const controller = await createController(config, {
      logger,
      onFatal: (error) => fail('the Raft log or the state machine failed', error),
    });
    const { listeners } = controller;
    const line = { ready: true, role: 'controller', id: config.node.id, pid: process.pid, listeners };
    process.stdout.write(`${JSON.stringify(line)}\n`);
    return controller;
  },
});
