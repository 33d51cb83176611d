/**
 * Kafka in KRaft mode: each node is broker and controller, with the heap and collector of its own start script. Entrances:
 * `default` (it flushes when the kernel does) and `fsync` (flush.messages=1 on the topic: its claim is then that of FleetMQ).
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DriverSpec } from '../client/driver.ts';
import { say } from '../say.ts';
import { freePorts, Server } from '../targets/server-process.ts';
import type { Entrance, StartTarget } from '../targets/target.ts';
import { ask, kafkaJars, kafkaVersion, npmModules } from './provision.ts';

interface Node {
  readonly id: number;
  readonly folder: string;
  readonly port: number;
  readonly controllerPort: number;
}

const clusterId = 'RmxlZXRNUS1iZW5jaG1hcg';
const jvmFlags = ['-Xms1g', '-Xmx1g', '-server', '-XX:+UseG1GC', '-XX:MaxGCPauseMillis=20'];
const collectorFlags = ['-XX:InitiatingHeapOccupancyPercent=35', '-XX:+ExplicitGCInvokesConcurrent'];
const logFlags = ['-Dorg.apache.logging.log4j.level=INFO', '-Djava.awt.headless=true'];

export function kafkaOf(brokers: number): StartTarget {
  return async (folder) => {
    const jars = join(await kafkaJars(), '*');
    const clients = await clientsOf();
    const ports = await freePorts(2 * brokers);
    const nodes: Node[] = Array.from({ length: brokers }, (_, index) => ({
      id: index + 1,
      folder: join(folder, `kafka-${index + 1}`),
      port: ports[2 * index] as number,
      controllerPort: ports[2 * index + 1] as number,
    }));
    await using stack = new AsyncDisposableStack();
    const started = await Promise.all(nodes.map((node) => startNode(node, nodes, jars)));
    for (const server of started) stack.use(server);
    const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`);
    const entrance = (durability: string, topicConfig: Readonly<Record<string, string>>): Entrance => ({
      durability,
      drivers: clients.map(({ kind, modules }): DriverSpec => ({ kind, modules, brokers: addresses, topicConfig })),
    });
    const where = brokers === 1 ? '' : ` on ${brokers} brokers (acks=all, min.insync.replicas=2)`;
    const owned = stack.move();
    return {
      version: kafkaVersion(),
      processes: started.map(({ pid }, index) => ({ name: `kafka ${index + 1}`, pid, isBroker: true })),
      dataFolder: folder,
      entrances: {
        default: entrance(`page cache${where}; fsync when the kernel likes (its default)`, {}),
        fsync: entrance(`fsync${where} before each ack (flush.messages=1)`, { 'flush.messages': '1' }),
      },
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  };
}

/** One of the two will do. */
async function clientsOf(): Promise<{ kind: 'platformatic-kafka' | 'confluent-kafka'; modules: string }[]> {
  const platformatic = { kind: 'platformatic-kafka', modules: await npmModules('clients') } as const;
  try {
    return [platformatic, { kind: 'confluent-kafka', modules: await npmModules('confluent') }];
  } catch (error) {
    say(`without @confluentinc/kafka-javascript: ${(error as Error).message}`);
    return [platformatic];
  }
}

async function startNode(node: Node, nodes: readonly Node[], jars: string): Promise<Server> {
  mkdirSync(node.folder, { recursive: true });
  const properties = join(node.folder, 'server.properties');
  writeFileSync(properties, `${settingsOf(node, nodes).join('\n')}\n`);
  await ask('java', ['-cp', jars, 'kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', properties]);
  return await Server.start({
    program: 'java',
    parameters: [...jvmFlags, ...collectorFlags, ...logFlags, '-cp', jars, 'kafka.Kafka', properties],
    cwd: node.folder,
    logFile: join(node.folder, 'kafka.log'),
    port: node.port,
    readyText: 'Kafka Server started',
  });
}

function settingsOf({ id, folder, port, controllerPort }: Node, nodes: readonly Node[]): string[] {
  const voters = nodes.map((node) => `${node.id}@127.0.0.1:${node.controllerPort}`).join(',');
  const copies = Math.min(3, nodes.length);
  return [
    'process.roles=broker,controller',
    `node.id=${id}`,
    `controller.quorum.voters=${voters}`,
    'controller.listener.names=CONTROLLER',
    `listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    `advertised.listeners=PLAINTEXT://127.0.0.1:${port}`,
    `log.dirs=${join(folder, 'data')}`,
    `min.insync.replicas=${Math.min(2, copies)}`,
    `offsets.topic.replication.factor=${copies}`,
    'offsets.topic.num.partitions=1',
    'auto.create.topics.enable=false',
    // A consumer alone in its group need not wait for others; deleted topics go at once.
    'group.initial.rebalance.delay.ms=0',
    'log.segment.delete.delay.ms=100',
  ];
}
