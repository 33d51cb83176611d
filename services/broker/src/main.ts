/** Runs a broker until it is told to stop. Prints one JSON line on stdout when it is registered and its listeners are open. */
import { runService } from '@fleetmq/shared/runtime';
import { createBroker } from './broker.ts';
import { brokerSchema } from './config.ts';

await runService({
  name: 'broker',
  schema: brokerSchema,
  logLevel: (config) => config.log.level,
  stopDeadlineMs: (config) => config.broker['drain-ms'] + 20_000,
  start: async (config, { logger, stopping, fail }) => {
    const broker = await createBroker(config, {
      logger,
      stopping,
      onFatal: (error) => fail('the broker cannot go on', error),
    });
    const { listeners } = broker;
    const line = { ready: true, role: 'broker', id: config.node.id, pid: process.pid, listeners };
    process.stdout.write(`${JSON.stringify(line)}\n`);
    return broker;
  },
});
