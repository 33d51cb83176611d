import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { plannedPorts } from './fleet-ports.ts';
import { type FleetProcessesOptions, startFleetProcesses } from './fleet-processes.ts';
import type { ServiceProcess } from './service-process.ts';

const fixture = fileURLToPath(new URL('./fleet-processes-fixture.ts', import.meta.url));

interface Place extends Disposable {
  readonly folder: string;
  readonly flags: readonly string[];
  readonly options: (more?: string) => FleetProcessesOptions;
  readonly journal: () => string[];
}

function makePlace(): Place {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fleet-'));
  const journal = path.join(folder, 'journal');
  fs.writeFileSync(journal, '');
  return {
    folder,
    flags: [`--journal=${journal}`],
    journal: () => fs.readFileSync(journal, 'utf8').trim().split('\n'),
    options: (more) => {
      const flags = [`--journal=${journal}`, ...(more === undefined ? [] : [more])];
      return {
        controllers: 2,
        brokers: 2,
        dataFolder: path.join(folder, 'data'),
        entryPoint: () => fixture,
        flags: { controller: flags, broker: flags, gateway: flags },
      };
    },
    [Symbol.dispose]: () => fs.rmSync(folder, { recursive: true }),
  };
}

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

test('starts all; stops gateway, brokers, controllers; leaves no process', async () => {
  using place = makePlace();
  const fleet = await startFleetProcesses(place.options());
  const pids = fleet.members.map(({ pid }) => pid);
  assert.equal(pids.length, 5);
  assert.equal(fleet.member('broker', 2).listeners['ops']?.port, fleet.ports.brokers[1]?.ops);
  await fleet.stop();
  const lines = place.journal();
  const kinds = (part: string[]): string[] => part.map((line) => line.replace(/-\d$/, ''));
  assert.deepEqual(kinds(lines.slice(0, 5)).toSorted(), [
    ...['start broker', 'start broker', 'start controller', 'start controller', 'start gateway'],
  ]);
  assert.deepEqual(kinds(lines.slice(5)), [
    ...['stop gateway', 'stop broker', 'stop broker', 'stop controller', 'stop controller'],
  ]);
  for (const pid of pids) assert.equal(isAlive(pid), false);
});

test('a process that fails to start is named with its own words, and the others are stopped', async () => {
  using place = makePlace();
  const pids: number[] = [];
  const onStarted = ({ pid }: ServiceProcess): void => {
    pids.push(pid);
  };
  await assert.rejects(startFleetProcesses({ ...place.options('--fail=broker-2'), onStarted }), {
    code: 'INVALID_CONFIG',
    message: /^broker 2 ended with code 3 while it started:\nfleetmq broker: port in use: .* 127\.0\.0\.1:1/,
  });
  assert.equal(pids.length, 5);
  for (const pid of pids) assert.equal(isAlive(pid), false);
});

test('kills and starts again on the same ports; an end that nobody asked for is told', async () => {
  using place = makePlace();
  const unexpected: string[] = [];
  const told = Promise.withResolvers<void>();
  const onUnexpectedEnd = (member: ServiceProcess): void => {
    unexpected.push(member.name);
    told.resolve();
  };
  await using fleet = await startFleetProcesses({ ...place.options(), onUnexpectedEnd });
  const { pid, listeners } = fleet.member('broker', 1);
  assert.deepEqual(await fleet.kill('broker', 1), { code: null, signal: 'SIGKILL' });
  const again = await fleet.restart('broker', 1);
  assert.notEqual(again.pid, pid);
  assert.deepEqual(again.listeners, listeners);
  fleet.signal('controller', 2, 'SIGKILL');
  await told.promise;
  assert.deepEqual(unexpected, ['controller 2']);
});

test('members are started through what their place asks for, each time anew', async () => {
  using place = makePlace();
  const hosts: Record<string, string> = { controller: '127.0.0.2', broker: '127.0.0.3', gateway: '127.0.0.4' };
  let life = 1;
  const sayLife = () => ['env', `FIXTURE_LIFE=${life}`];
  await using fleet = await startFleetProcesses({
    ...place.options(),
    hostOf: (role) => hosts[role] as string,
    throughOf: (role) => (role === 'broker' ? sayLife() : []),
    flags: { ...place.options().flags, controller: (id) => [...place.flags, `--node.rack=rack-${id}`] },
  });
  assert.match(fleet.url, /^http:\/\/127\.0\.0\.4:/);
  assert.match(fleet.brokerAddresses[0] ?? '', /^127\.0\.0\.3:/);
  const told = () => fleet.member('broker', 1).listeners['env'];
  assert.deepEqual(told(), { host: '1', port: 0 });
  assert.equal(fleet.member('broker', 1).listeners['ops']?.host, '127.0.0.3');
  assert.equal(fleet.member('controller', 2).listeners['rack']?.host, 'rack-2');
  life = 2;
  await fleet.restart('broker', 1);
  assert.deepEqual(told(), { host: '2', port: 0 });
});

test('planned ports do not meet, for any size', () => {
  const { gateway, brokers, controllers } = plannedPorts(7600, { brokers: 9, controllers: 9 });
  const all = [gateway, ...brokers, ...controllers].flatMap((ports) => Object.values(ports) as number[]);
  assert.equal(new Set(all).size, all.length);
  assert.deepEqual(brokers[0], { client: 7610, internal: 7611, ops: 7619 });
  assert.throws(() => plannedPorts(65_400, { brokers: 3, controllers: 9 }), { code: 'INVALID_CONFIG' });
});
