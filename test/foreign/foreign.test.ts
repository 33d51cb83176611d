/**
 * Clients that know nothing but the first contract produce, fetch, list topics and ask for the leader, through the gateway
 * and straight at a broker: @grpc/grpc-js, grpcio (Python), grpc-go, and `buf curl` over all three protocols.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { connect } from '@fleetmq/client/node';
import { startTestFleet, type TestFleet } from '@fleetmq/testkit';
import { exerciseGrpcJs } from './grpc-js-client.ts';
import { buf, designImage, goClient, hasCommand, type Program, pythonClient } from './toolchains.ts';

const execute = promisify(execFile);

interface Outcome {
  readonly offset: number;
  readonly leader: string;
  readonly fetched: readonly string[];
}

function assertOutcome(outcome: Outcome | undefined, name: string): void {
  assert.ok(outcome, `${name} was exercised`);
  assert.deepEqual(outcome.fetched, [`${name}-0`, `${name}-1`, `${name}-2`]);
  assert.match(outcome.leader, /^[1-3]$/);
}

describe('clients of the first contract alone', () => {
  let fleet: TestFleet;
  let addresses: string[];

  before(async () => {
    fleet = await startTestFleet({ controllers: 1, brokers: 3 });
    addresses = [new URL(fleet.url).host, ...fleet.brokers];
    await using admin = await connect({ url: fleet.url });
    for (const name of ['grpc-js', 'python', 'go', 'curl']) {
      await admin.admin.createTopic(name, { partitions: 1, replicationFactor: 3 });
    }
  });

  after(() => fleet[Symbol.asyncDispose]());

  async function runProgram(program: Program, topic: string): Promise<Record<string, Outcome>> {
    const { stdout } = await execute(program.command, [...program.args, topic, ...addresses], {
      env: { ...process.env, ...program.env },
      timeout: 60_000,
    });
    return JSON.parse(stdout) as Record<string, Outcome>;
  }

  test('@grpc/grpc-js', async () => {
    const [gateway = '', ...brokers] = addresses;
    assertOutcome(await exerciseGrpcJs('gateway', [gateway], 'grpc-js'), 'gateway');
    assertOutcome(await exerciseGrpcJs('broker', brokers, 'grpc-js'), 'broker');
  });

  const python = hasCommand('python3', '-m', 'pip', '--version');
  test('grpcio in Python', { skip: python ? false : 'python3 with pip is not installed' }, async () => {
    const outcomes = await runProgram(pythonClient(), 'python');
    assertOutcome(outcomes['gateway'], 'gateway');
    assertOutcome(outcomes['broker'], 'broker');
  });

  const go = hasCommand('go', 'version');
  test('grpc-go', { skip: go ? false : 'go is not installed' }, async () => {
    const outcomes = await runProgram(goClient(), 'go');
    assertOutcome(outcomes['gateway'], 'gateway');
    assertOutcome(outcomes['broker'], 'broker');
  });

  for (const protocol of ['connect', 'grpc', 'grpcweb']) {
    test(`buf curl over ${protocol}`, async () => {
      const call = async (method: string, message: unknown): Promise<Record<string, unknown>> => {
        const url = `${fleet.url}/rustmq.client.${method}`;
        const transport = ['--protocol', protocol, '--http2-prior-knowledge', '--schema', designImage];
        const { stdout } = await execute(buf, ['curl', ...transport, '-d', JSON.stringify(message), url], {
          timeout: 30_000,
        });
        return JSON.parse(stdout) as Record<string, unknown>;
      };
      const place = { topic: 'curl', partition: 0 };
      const value = Buffer.from(`over ${protocol}`).toString('base64');
      const produced = await call('ProducerService/Produce', {
        topicPartition: place,
        records: [{ value }],
        acks: 'ACK_ALL',
      });
      assert.equal(produced['errorCode'] ?? 'OK', 'OK');
      const fetchOffset = produced['offset'] ?? '0';
      const fetched = JSON.stringify(
        await call('ConsumerService/Fetch', { maxBytes: 65536, partitions: [{ topicPartition: place, fetchOffset }] }),
      );
      assert.ok(fetched.includes(value), fetched);
      await call('MetadataService/ListTopics', {});
    });
  }
});
