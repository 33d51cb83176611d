/** Runs a gateway until it is told to stop. */
import { runService } from '@fleetmq/shared/runtime';
import { gatewaySchema } from './config.ts';
import { createGateway, nodePorts } from './gateway.ts';

await runService({
  name: 'gateway',
  schema: gatewaySchema,
  logLevel: (config) => config.log.level,
  stopDeadlineMs: (config) => config.limits['drain-ms'] + 5_000,
  async start(config, { logger, stopping }) {
    const gateway = await createGateway(config, nodePorts(logger));
    try {
      if (config.security.mode === 'open')
        logger.warn({}, 'security.mode = open: whoever reaches this port may do all');
      await gateway.whenReady(stopping);
    } catch (error) {
      await gateway.stop();
      throw error;
    }
    const { client, ops } = gateway.listeners;
    const listeners = { client: { host: client.host, port: client.port }, ops };
    process.stdout.write(`${JSON.stringify({ ready: true, role: 'gateway', pid: process.pid, listeners })}\n`);
    return gateway;
  },
});
