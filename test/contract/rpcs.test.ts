/**
 * docs/rpcs.md against the truth: every method of every descriptor has a line, and a running fleet answers UNIMPLEMENTED
 * exactly where the table says so, on every listener that the table names.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { create, type DescMethod, type DescService, toBinary } from '@bufbuild/protobuf';
import { HealthService } from '@fleetmq/gen/broker/health';
import { PartitionManagementService } from '@fleetmq/gen/broker/partition';
import { BrokerReplicationService } from '@fleetmq/gen/broker/replication';
import { AuthService } from '@fleetmq/gen/client/auth';
import { ConsumerService } from '@fleetmq/gen/client/consumer';
import { MetadataService } from '@fleetmq/gen/client/metadata';
import { ProducerService } from '@fleetmq/gen/client/producer';
import { AdminService } from '@fleetmq/gen/controller/admin';
import { ControllerBrokerService } from '@fleetmq/gen/controller/cluster';
import { ControllerRaftService } from '@fleetmq/gen/controller/raft';
import { StreamingService } from '@fleetmq/gen/streaming/stream';
import { isDomainError } from '@fleetmq/shared';
import { createLaneTransport, type LaneTransport } from '@fleetmq/shared/runtime';
import { startTestFleet, type TestFleet } from '@fleetmq/testkit';

const services: readonly DescService[] = [
  ProducerService,
  ConsumerService,
  MetadataService,
  AuthService,
  StreamingService,
  AdminService,
  BrokerReplicationService,
  PartitionManagementService,
  HealthService,
  ControllerBrokerService,
  ControllerRaftService,
];

interface Line {
  readonly call: string;
  readonly servedBy: readonly string[];
  readonly works: boolean;
}

/** `package.Service/Method` -> its line of docs/rpcs.md. */
function readTable(): Map<string, Line> {
  const lines = new Map<string, Line>();
  let service = '';
  for (const line of readFileSync(new URL('../../docs/rpcs.md', import.meta.url), 'utf8').split('\n')) {
    if (line.startsWith('## ')) service = line.slice(3).trim();
    const cells = line.split('|').map((cell) => cell.trim());
    if (cells.length !== 7 || cells[1] === 'call' || cells[1]?.startsWith('---')) continue;
    const [, call = '', , , servedBy = '', state = ''] = cells;
    assert.match(state, /^(works|UNIMPLEMENTED: )/, `state of ${call}`);
    const key = `${service}/${call}`;
    lines.set(key, { call: key, servedBy: servedBy.split(', '), works: state.startsWith('works') });
  }
  return lines;
}

/** Calls with an empty message and says whether the answer was UNIMPLEMENTED. */
async function isUnimplemented(transport: LaneTransport, method: DescMethod): Promise<boolean> {
  const empty = toBinary(method.input, create(method.input));
  const options = { timeoutMs: 3000 };
  try {
    switch (method.methodKind) {
      case 'unary':
        await transport.rawUnary(method, empty, options);
        break;
      case 'server_streaming':
        for await (const _ of transport.rawServerStream(method, empty, options)) break;
        break;
      default: {
        const stream = transport.rawBidi(method, options);
        stream.send(empty);
        stream.end();
        for await (const _ of stream.responses) break;
        stream.close();
      }
    }
    return false;
  } catch (error) {
    if (isDomainError(error)) return error.code === 'UNIMPLEMENTED';
    throw error;
  }
}

const methods = services.flatMap((service) => service.methods);
const nameOf = (method: DescMethod): string => `${method.parent.typeName}/${method.name}`;

test('the table has exactly the calls of the descriptors', () => {
  assert.deepEqual([...readTable().keys()].sort(), methods.map(nameOf).sort());
});

describe('the running fleet and the table agree', () => {
  let fleet: TestFleet;
  const transports = new Map<string, LaneTransport>();

  before(async () => {
    fleet = await startTestFleet({ controllers: 1, brokers: 1 });
    const open = (name: string, url: string) => transports.set(name, createLaneTransport({ baseUrl: url }));
    open('gateway', fleet.url);
    open('broker', `http://${fleet.brokers[0]}`);
    open('broker-internal', `http://127.0.0.1:${fleet.processes.ports.brokers[0]?.internal}`);
    open('controller', `http://127.0.0.1:${fleet.processes.ports.controllers[0]?.internal}`);
  });

  after(async () => {
    for (const transport of transports.values()) await transport.close();
    await fleet[Symbol.asyncDispose]();
  });

  const table = readTable();
  for (const method of methods) {
    const line = table.get(nameOf(method));
    if (line === undefined) continue;
    test(`${line.call}: ${line.works ? 'works' : 'UNIMPLEMENTED'} on ${line.servedBy.join(', ')}`, async () => {
      for (const place of line.servedBy) {
        const transport = transports.get(place);
        assert.ok(transport, `docs/rpcs.md names an unknown listener: ${place}`);
        assert.equal(await isUnimplemented(transport, method), !line.works, `${line.call} on ${place}`);
      }
    });
  }
});
