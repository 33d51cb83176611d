import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Code, ConnectError, createRouterTransport, type Transport } from '@connectrpc/connect';
import { ErrorResponseSchema } from '@fleetmq/gen/common/errors';
import { ControllerBrokerService } from '@fleetmq/gen/controller/cluster';
import { DomainError, type ErrorName, errorNumber } from '@fleetmq/shared';
import { ControllerCalls, type ControllerCallsOptions, nextStep } from './index.ts';
import { ports } from './ports.fuzz.ts';

type Behaviour = () => bigint | Promise<bigint>;

function failing(code: ErrorName, leaderHint = '', status = Code.Unavailable): Behaviour {
  return () => {
    const value = { code: errorNumber(code) as never, message: `says ${code}`, leaderHint };
    throw new ConnectError(code, status, undefined, [{ desc: ErrorResponseSchema, value }]);
  };
}

const lost: Behaviour = () => {
  throw new ConnectError('the connection is lost', Code.Unavailable);
};

/** Controllers by their port; each call takes the next behaviour, and the last one stays. */
function cluster(behaviours: Record<number, Behaviour[]>, options: Partial<ControllerCallsOptions> = {}) {
  const asked: number[] = [];
  const transports = new Map<number, Transport>();
  for (const [name, list] of Object.entries(behaviours)) {
    const port = Number(name);
    const transport = createRouterTransport(({ service }) => {
      service(ControllerBrokerService, {
        async getClusterConfig() {
          asked.push(port);
          const behaviour = (list.length > 1 ? list.shift() : list[0]) as Behaviour;
          return { metadataVersion: await behaviour() };
        },
      });
    });
    transports.set(port, transport);
  }
  const calls = new ControllerCalls({
    controllers: Object.keys(behaviours).map((port) => ({ controllerId: Number(port), host: 'c', port: Number(port) })),
    transportOf: ({ port }) => transports.get(port) as Transport,
    backoff: { baseMs: 1, maxMs: 2 },
    ...ports,
    ...options,
  });
  const call = async (callOptions: Parameters<ControllerCalls['unary']>[2] = {}): Promise<bigint> =>
    (await calls.unary(ControllerBrokerService.method.getClusterConfig, {}, callOptions)).metadataVersion;
  return { call, asked };
}

describe('controller calls', () => {
  test('follow the hint of NOT_LEADER and remember the leader', async () => {
    const { call, asked } = cluster({ 1: [failing('NOT_LEADER', '3@c:3')], 2: [() => 2n], 3: [() => 3n] });
    assert.equal(await call(), 3n);
    assert.equal(await call(), 3n);
    assert.deepEqual(asked, [1, 3, 3]);
  });

  test('start with the leader that the metadata names', async () => {
    const { call, asked } = cluster({ 1: [() => 1n], 2: [() => 2n] }, { leaderId: () => 2 });
    assert.equal(await call(), 2n);
    assert.deepEqual(asked, [2]);
  });

  test('go to controllers that are known by now', async () => {
    const { call, asked } = cluster(
      { 1: [failing('NOT_LEADER')], 7: [() => 7n] },
      {
        controllers: [{ controllerId: 1, host: 'c', port: 1 }],
        known: () => [{ controllerId: 7, host: 'c', port: 7 }],
      },
    );
    assert.equal(await call(), 7n);
    assert.deepEqual(asked, [7]);
  });

  test('ask the next controller when one has no leader to name', async () => {
    const none = failing('NOT_LEADER');
    const { call, asked } = cluster({
      1: [none],
      2: [failing('PROPOSAL_DROPPED', '', Code.Aborted), none],
      3: [() => 3n],
    });
    assert.equal(await call(), 3n);
    assert.deepEqual(asked, [1, 2, 3]);
  });

  test('do not chase two controllers that name each other', async () => {
    const { call, asked } = cluster({ 1: [failing('NOT_LEADER', '2@c:2')], 2: [failing('NOT_LEADER', '1@c:1')] });
    await assert.rejects(call({ timeoutMs: 30 }), { code: 'NOT_AVAILABLE', retriable: true });
    assert.ok(asked.length < 60, `${asked.length} attempts in 30 ms`);
  });

  test('do not repeat a call that may have been carried out', async () => {
    const { call, asked } = cluster({ 1: [lost], 2: [() => 2n] });
    await assert.rejects(call(), { code: 'TIMEOUT', outcomeUnknown: true });
    assert.deepEqual(asked, [1]);
  });

  test('repeat it when that does no harm', async () => {
    const { call, asked } = cluster({ 1: [lost], 2: [failing('SHUTTING_DOWN')], 3: [() => 3n] });
    assert.equal(await call({ idempotent: true }), 3n);
    assert.deepEqual(asked, [1, 2, 3]);
  });

  test('leave a leader that hangs, if the call is idempotent', async () => {
    const never = new Promise<bigint>(() => undefined);
    const { call } = cluster({ 1: [() => never], 2: [() => 2n] }, { attemptTimeoutMs: 20 });
    assert.equal(await call({ idempotent: true }), 2n);
    const { call: callOnce } = cluster({ 1: [() => never] }, { attemptTimeoutMs: 20 });
    await assert.rejects(callOnce({ timeoutMs: 60 }), { code: 'TIMEOUT' });
  });

  test('pass on what the leader refuses, and the caller giving up', async () => {
    const { call, asked } = cluster({ 1: [failing('INVALID_CONFIG', '', Code.InvalidArgument)] });
    await assert.rejects(call(), { code: 'INVALID_CONFIG', message: 'says INVALID_CONFIG' });
    assert.deepEqual(asked, [1]);
    const { call: callLonger } = cluster({ 1: [failing('NOT_LEADER')] });
    await assert.rejects(callLonger({ signal: AbortSignal.timeout(10), timeoutMs: 5_000 }));
  });

  const table: readonly (readonly [ErrorName, boolean, ReturnType<typeof nextStep>, ReturnType<typeof nextStep>])[] = [
    // code, outcome unknown -> step for any call, step for an idempotent one
    ['NOT_LEADER', false, 'repeat', 'repeat'],
    ['PROPOSAL_DROPPED', false, 'repeat', 'repeat'],
    ['NOT_AVAILABLE', false, 'repeat', 'repeat'],
    ['NOT_AVAILABLE', true, 'unknown', 'repeat'],
    ['TIMEOUT', true, 'unknown', 'repeat'],
    ['SHUTTING_DOWN', false, 'unknown', 'repeat'],
    ['LIMIT_EXCEEDED', false, 'throw', 'throw'],
    ['TOPIC_ALREADY_EXISTS', false, 'throw', 'throw'],
    ['UNKNOWN_ERROR', false, 'throw', 'throw'],
  ];
  for (const [code, outcomeUnknown, once, idempotent] of table) {
    test(`${code}${outcomeUnknown ? ' with unknown outcome' : ''}: ${once}, idempotent: ${idempotent}`, () => {
      const error = new DomainError(code, 'text', { outcomeUnknown });
      assert.equal(nextStep(error, false), once);
      assert.equal(nextStep(error, true), idempotent);
    });
  }
});
