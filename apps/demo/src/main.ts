/**
 * `npm run demo`: the main job on real input. Starts 3 controllers, 3 brokers and a gateway as processes, produces 231,083
 * flights (vega-datasets) with ACK_ALL, kills the broker that leads most partitions half-way through, reads everything back
 * through the gateway and straight from the brokers, and compares checksums per partition.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Client, connect } from '@fleetmq/client/node';
import { startFleetProcesses } from '@fleetmq/shared/runtime/fleet';
import { readFlights } from './flights.ts';
import { consumeAll, produceAll } from './flow.ts';
import { watchLeaders } from './leaders.ts';
import { compare, Ledger } from './ledger.ts';
import { printResult } from './print.ts';
import { say } from './say.ts';

const topic = 'flights';
const partitions = 6;
const entryPoint = (role: string): string =>
  fileURLToPath(new URL(`../../../services/${role}/src/main.ts`, import.meta.url));

async function main(): Promise<number> {
  const flights = await readFlights();
  const folder = await mkdtemp(join(tmpdir(), 'fleetmq-demo-'));
  try {
    say(`starting 3 controllers, 3 brokers and a gateway; data in ${folder}`);
    await using fleet = await startFleetProcesses({ dataFolder: folder, entryPoint });
    await using mq: Client = await connect({ url: fleet.url });
    await mq.admin.createTopic(topic, { partitions, replicationFactor: 3 });
    say(
      `created topic ${topic}: ${partitions} partitions, 3 replicas each; producing ${flights.length} records with ACK_ALL`,
    );

    const sent = new Ledger(partitions);
    const leaders = watchLeaders(mq, topic);
    const produced = await produceAll(mq, topic, flights, sent, async () => {
      const victim = await leaders.busiest();
      say(`kill -9 of broker ${victim}, which leads most partitions`);
      leaders.startClock(victim);
      await fleet.kill('broker', victim);
    });
    const outageMs = await leaders.outageMs();

    say('reading everything back through the gateway');
    const viaGateway = new Ledger(partitions);
    const gatewayRead = await consumeAll(mq, topic, viaGateway);
    say('reading everything back straight from the brokers');
    await using direct = await connect({ brokers: fleet.brokerAddresses });
    const viaBrokers = new Ledger(partitions);
    const directRead = await consumeAll(direct, topic, viaBrokers);

    const verdict = compare(sent, { gateway: viaGateway, brokers: viaBrokers });
    printResult({ produced, gatewayRead, directRead, outageMs, verdict });
    return verdict.lost === 0 && verdict.duplicated === 0 && verdict.differing === 0 ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

process.exitCode = await main();
