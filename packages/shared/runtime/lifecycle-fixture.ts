/** A service for lifecycle.test.ts: what it does is set by its configuration, what happened is told on stdout. */
import { DomainError } from '@fleetmq/shared';
import { z } from 'zod';
import { runService } from './lifecycle.ts';
import { MetricsRegistry } from './metrics.ts';
import { startOps } from './ops.ts';
import { Readiness } from './readiness.ts';

const schema = z.object({
  listen: z.object({ port: z.number().int().min(0).max(65_535).default(0) }),
  behaviour: z.object({
    start: z.enum(['up', 'hang', 'throw', 'wrong-cluster']).default('up'),
    run: z.enum(['wait', 'throw', 'reject', 'fail']).default('wait'),
    stop: z.enum(['quick', 'hang', 'throw', 'leak']).default('quick'),
  }),
});

await runService({
  name: 'fixture',
  schema,
  stopDeadlineMs: () => 1_000,
  async start({ listen, behaviour }, { logger, stopping, fail }) {
    await using opened = new AsyncDisposableStack();
    opened.defer(() => say('closed'));
    const port = { host: '127.0.0.1', port: listen.port };
    opened.use(await startOps({ ...port, readiness: new Readiness([]), metrics: new MetricsRegistry() }));
    if (behaviour.start === 'throw') throw new Error('broken start');
    if (behaviour.start === 'wrong-cluster') throw new DomainError('WRONG_CLUSTER', 'the folder is of cluster c1');
    if (behaviour.start === 'hang') {
      say('starting');
      await new Promise((_, reject) => stopping.addEventListener('abort', () => reject(stopping.reason)));
    }
    opened.defer(() => stop(behaviour.stop));
    if (behaviour.run === 'throw') setTimeout(() => Promise.reject(new Error('a bug')), 1);
    if (behaviour.run === 'reject') void Promise.reject(new Error('a bug'));
    if (behaviour.run === 'fail') setTimeout(() => fail('the disk is gone', new Error('EIO')), 1);
    logger.info({}, 'up');
    say('up');
    return opened.move();
  },
});

async function stop(how: 'quick' | 'hang' | 'throw' | 'leak'): Promise<void> {
  say('stopping');
  if (how === 'throw') throw new Error('broken stop');
  if (how === 'leak') setInterval(() => undefined, 1_000);
  if (how === 'hang') await new Promise(() => setInterval(() => undefined, 1_000));
}

function say(word: string): void {
  process.stdout.write(`${word}\n`);
}
