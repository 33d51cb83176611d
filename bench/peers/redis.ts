/** Redis Streams: one server, append-only file, records in memory. */
import { join } from 'node:path';
import { freePorts, Server } from '../targets/server-process.ts';
import type { StartTarget } from '../targets/target.ts';
import { aboutRedis, npmModules } from './provision.ts';

const durabilities = {
  everysec: 'page cache; fsync once per second',
  always: 'fsync before each ack',
} as const;

export function redisWith(appendfsync: keyof typeof durabilities): StartTarget {
  return async (folder) => {
    const about = await aboutRedis();
    const modules = await npmModules('clients');
    const [port = 0] = await freePorts(1);
    const persistence = ['--appendonly', 'yes', '--appendfsync', appendfsync, '--save', ''];
    const server = await Server.start({
      program: 'redis-server',
      // Files grow until the end: no rewrite falls into anybody's run.
      parameters: ['--bind', '127.0.0.1', '--port', String(port), ...persistence, '--auto-aof-rewrite-percentage', '0'],
      cwd: folder,
      logFile: join(folder, 'redis.log'),
      port,
      readyText: 'Ready to accept connections',
    });
    return {
      version: /v=(\S+)/.exec(about)?.[1] ?? 'unknown',
      processes: [{ name: 'redis-server', pid: server.pid, isBroker: true }],
      dataFolder: folder,
      entrances: {
        direct: {
          durability: durabilities[appendfsync],
          drivers: [
            { kind: 'redis', modules, port },
            { kind: 'ioredis', modules, port },
          ],
        },
      },
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  };
}
