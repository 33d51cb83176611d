/**
 * `npm run demo`: the main job on real input. Starts 3 controllers, 3 brokers and a gateway as processes, produces 200,000
 * flights (vega-datasets) with ACK_ALL, kills the broker that leads most partitions half-way through, reads everything back
 * through the gateway and straight from the brokers, and compares checksums per partition.
 *
 * `npm run demo -- --url URL [--brokers HOST:PORT,...]` does the same to a cluster that runs already, and kills nobody.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { connect } from '@fleetmq/client/node';
import { startFleetProcesses } from '@fleetmq/shared/runtime/fleet';
import { readFlights } from './flights.ts';
import { consumeAll, produceAll, type Reading } from './flow.ts';
import { watchLeaders } from './leaders.ts';
import { compare, Ledger } from './ledger.ts';
import { printResult } from './print.ts';
import { say } from './say.ts';

const partitions = 6;
const entryPoint = (role: string): string =>
  fileURLToPath(new URL(`../../../services/${role}/src/main.ts`, import.meta.url));

/** A cluster to work on. */
interface Cluster {
  readonly url: string;
  /** Empty: they cannot be reached from here. */
  readonly brokers: readonly string[];
  /** Kills a broker with SIGKILL; undefined where that is not ours to do. */
  readonly kill: ((broker: number) => Promise<unknown>) | undefined;
}

async function run({ url, brokers, kill }: Cluster): Promise<boolean> {
  const flights = await readFlights();
  const topic = `flights-${Date.now()}`;
  await using mq = await connect({ url });
  await mq.admin.createTopic(topic, { partitions, replicationFactor: 3 });
  say(
    `created topic ${topic}: ${partitions} partitions, 3 replicas each; producing ${flights.length} records with ACK_ALL`,
  );

  const sent = new Ledger(partitions);
  const leaders = watchLeaders(mq, topic);
  const produced = await produceAll(mq, topic, flights, sent, async () => {
    if (kill === undefined) return;
    const victim = await leaders.busiest();
    say(`kill -9 of broker ${victim}, which leads most partitions`);
    leaders.startClock(victim);
    await kill(victim);
  });
  const outageMs = kill && (await leaders.outageMs());

  const readings: Reading[] = [];
  say('reading everything back through the gateway');
  readings.push(await consumeAll('out, through the gateway', mq, topic, new Ledger(partitions)));
  if (brokers.length > 0) {
    say('reading everything back straight from the brokers');
    await using direct = await connect({ brokers });
    readings.push(await consumeAll('out, from the brokers', direct, topic, new Ledger(partitions)));
  }
  const verdict = compare(sent, readings);
  printResult({ produced, readings, outageMs, verdict });
  return verdict.lost === 0 && verdict.duplicated === 0 && verdict.differing === 0;
}

async function runOnFleet(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'fleetmq-demo-'));
  try {
    say(`starting 3 controllers, 3 brokers and a gateway; data in ${folder}`);
    await using fleet = await startFleetProcesses({ dataFolder: folder, entryPoint });
    const kill = (broker: number): Promise<unknown> => fleet.kill('broker', broker);
    return await run({ url: fleet.url, brokers: fleet.brokerAddresses, kill });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const { values: flags } = parseArgs({ options: { url: { type: 'string' }, brokers: { type: 'string', default: '' } } });
const brokers = flags.brokers.split(',').filter((address) => address !== '');
const passed = flags.url === undefined ? await runOnFleet() : await run({ url: flags.url, brokers, kill: undefined });
process.exitCode = passed ? 0 : 1;
