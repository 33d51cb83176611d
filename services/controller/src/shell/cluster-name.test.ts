import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DomainError, seededRandom, silentLogger, type Term } from '@fleetmq/shared';
import { ClusterName } from './cluster-name.ts';
import { LeadershipState } from './leadership.ts';

test('a leader that could not name the cluster tries again when somebody asks for the name', async () => {
  const term = 2 as Term;
  const leadership = new LeadershipState(new Map(), { role: 'StateLeader', leaderId: 1, term });
  let clusterId = '';
  let isFull = true;
  const name = new ClusterName({
    clusterId: () => clusterId,
    boundTo: () => undefined,
    bind: async () => undefined,
    proposals: {
      propose: async (command) => {
        if (isFull) throw new DomainError('DISK_FULL', 'no room');
        assert.equal(command.kind, 'set-cluster-id');
        if (command.kind === 'set-cluster-id') clusterId = command.clusterId;
        return undefined as never;
      },
    },
    leadership,
    random: seededRandom(1),
    logger: silentLogger,
    onFatal: (error) => assert.fail(String(error)),
  });
  leadership.applied(term);
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  await turn();
  assert.throws(() => name.require(''), { code: 'NOT_AVAILABLE' });
  await turn();
  isFull = false;
  assert.throws(() => name.require(''), { code: 'NOT_AVAILABLE' });
  await turn();
  assert.equal(name.require(''), clusterId);
});
