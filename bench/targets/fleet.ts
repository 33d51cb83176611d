/** FleetMQ as a target: a controller, brokers, a gateway, as processes; straight to the leaders, through the gateway, call by call. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { startTestFleet } from '@fleetmq/testkit';
import type { DriverSpec } from '../client/driver.ts';
import { forgetChild, rememberChild } from '../processes.ts';
import type { StartTarget } from './target.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** Entrances: `direct`, `gateway`, `os-cache` (direct, without fdatasync), `grpc-js`, `lane`, `grpc-go` where Go is there, and these three with `-gateway`. */
function hasGo(): boolean {
  return spawnSync('go', ['version'], { stdio: 'ignore' }).status === 0;
}

export function fleetOf(brokers: number): StartTarget {
  return async (folder) => {
    const fleet = await startTestFleet({ controllers: 1, brokers, dataFolder: folder });
    const processes = fleet.processes.members.map(({ role, id, pid }) => {
      return { name: `${role} ${id}`, pid, isBroker: role === 'broker' };
    });
    for (const each of processes) rememberChild(each);
    const gateway = fleet.url;
    const fleetmq = { kind: 'fleetmq', gateway, brokers: fleet.brokers, topicConfig: {} } as const;
    const on = brokers === 1 ? 'fdatasync before each ack' : `fdatasync on ${brokers} brokers before each ack`;
    const entrance = (driver: DriverSpec, durability = on) => ({ durability, drivers: [driver] });
    const [leader = ''] = fleet.brokers;
    const { host } = new URL(gateway);
    return {
      version,
      processes,
      dataFolder: folder,
      entrances: {
        direct: entrance(fleetmq),
        gateway: entrance({ ...fleetmq, brokers: [] }),
        'os-cache': entrance(
          { ...fleetmq, topicConfig: { 'flush.policy': 'unsafe-os-cache' } },
          'page cache: none of it is flushed before the ack',
        ),
        ...(hasGo() && {
          'grpc-go': entrance({ kind: 'grpc-go', gateway, address: leader }),
          'grpc-go-gateway': entrance({ kind: 'grpc-go', gateway, address: host }),
        }),
        'grpc-js': entrance({ kind: 'grpc-js', gateway, address: leader }),
        'grpc-js-gateway': entrance({ kind: 'grpc-js', gateway, address: host }),
        lane: entrance({ kind: 'lane', gateway, address: leader }),
        'lane-gateway': entrance({ kind: 'lane', gateway, address: host }),
      },
      async [Symbol.asyncDispose]() {
        await fleet[Symbol.asyncDispose]();
        for (const each of processes) forgetChild(each);
      },
    };
  };
}
