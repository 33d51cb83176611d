import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BrokerImage, BrokerState } from '@fleetmq/metadata';
import type { BrokerEpoch, BrokerId } from '@fleetmq/shared';
import { Liveness } from './liveness.ts';

function broker(brokerId: number, brokerEpoch: number, state: BrokerState = 'active'): BrokerImage {
  return {
    brokerId: brokerId as BrokerId,
    brokerEpoch: brokerEpoch as BrokerEpoch,
    state,
    incarnationId: '',
    rackId: '',
    endpoints: [],
    diskId: '',
    features: new Map(),
  };
}

const overdue = (liveness: Liveness, brokers: readonly BrokerImage[], nowMs: number): readonly number[] =>
  liveness.overdue(brokers, nowMs).map(({ brokerId }) => brokerId);

describe('liveness of brokers', () => {
  test('a silent broker is overdue after a session, not before; fenced ones are no news', () => {
    const liveness = new Liveness({ sessionTimeoutMs: 3_000 });
    const brokers = [broker(1, 10), broker(2, 11), broker(3, 12, 'fenced'), broker(4, 13, 'draining')];
    liveness.restart(1_000);
    assert.deepEqual(overdue(liveness, brokers, 3_999), []);
    liveness.heard(broker(2, 11), 3_000);
    assert.deepEqual(overdue(liveness, brokers, 4_000), [1, 4]);
    assert.deepEqual(overdue(liveness, brokers, 5_999), [1, 4]);
    assert.deepEqual(overdue(liveness, brokers, 6_000), [1, 2, 4]);
  });

  test('a new leader gives everybody a whole session', () => {
    const liveness = new Liveness({ sessionTimeoutMs: 3_000 });
    liveness.restart(0);
    liveness.heard(broker(1, 10), 100);
    liveness.restart(10_000);
    assert.deepEqual(overdue(liveness, [broker(1, 10)], 12_999), []);
    assert.deepEqual(overdue(liveness, [broker(1, 10)], 13_000), [1]);
  });

  test('a heartbeat of an older life does not count', () => {
    const liveness = new Liveness({ sessionTimeoutMs: 3_000 });
    liveness.restart(0);
    liveness.heard(broker(1, 20), 1_000);
    liveness.heard(broker(1, 10), 3_900);
    assert.deepEqual(overdue(liveness, [broker(1, 20)], 4_000), [1]);
    assert.deepEqual(overdue(liveness, [broker(1, 30)], 2_999), []);
  });
});
