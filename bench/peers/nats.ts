/** NATS JetStream: one server, streams in files. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts, Server } from '../targets/server-process.ts';
import { NotAvailable, type StartTarget } from '../targets/target.ts';
import { natsServer, npmModules } from './provision.ts';

const durabilities = {
  '2m': 'page cache; fsync every two minutes (its default)',
  always: 'fsync before each ack',
} as const;

export function natsWith(syncInterval: keyof typeof durabilities): StartTarget {
  return async (folder) => {
    const { program, about } = await natsServer();
    const version = /v(\d\S*)/.exec(about)?.[1] ?? 'unknown';
    const isAlways = syncInterval === 'always';
    if (isAlways && /^2\.\d\./.test(version))
      throw new NotAvailable(`nats-server ${version} cannot flush before the ack`);
    const modules = await npmModules('clients');
    const [port = 0] = await freePorts(1);
    const config = join(folder, 'nats.conf');
    const store = `store_dir: "${folder}", max_file_store: 64G${isAlways ? ', sync_interval: always' : ''}`;
    writeFileSync(config, `host: 127.0.0.1\nport: ${port}\njetstream: { ${store} }\n`);
    const logFile = join(folder, 'nats.log');
    const server = await Server.start({ program, parameters: ['-c', config], cwd: folder, logFile, port });
    return {
      version,
      processes: [{ name: 'nats-server', pid: server.pid, isBroker: true }],
      dataFolder: folder,
      entrances: {
        direct: {
          durability: durabilities[syncInterval],
          drivers: [
            { kind: 'nats', modules, port },
            { kind: 'nats-batch', modules, port },
          ],
        },
      },
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  };
}
