import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { createRouterTransport } from '@connectrpc/connect';
import { AppendEntriesRequestSchema, ControllerRaftService } from '@fleetmq/gen/controller/raft';
import { createMessage } from '@fleetmq/raft';
import { silentLogger, type Term } from '@fleetmq/shared';
import { nodeChecksum, nodeTimers } from '@fleetmq/shared/runtime';
import { noMembership, withMember, withoutMember } from '../domain/membership.ts';
import { MemoryDisk } from '../testing/memory-disk.ts';
import { RaftIdentity } from './raft-identity.ts';
import { RaftPeers } from './raft-peers.ts';

test('who was removed is sent nothing any more, since another disk may be in its place', async () => {
  const member = (controllerId: number) => ({ controllerId, host: 'c', port: 1, diskId: `disk-${controllerId}` });
  let membership = withMember(withMember(noMembership, member(1), false), member(2), false);
  const asked: string[] = [];
  const transport = createRouterTransport(({ service }) =>
    service(ControllerRaftService, {
      appendEntries: (request) => {
        asked.push(request.envelope?.targetDiskId ?? '');
        return fromBinary(AppendEntriesRequestSchema, new Uint8Array(0)) as never;
      },
    }),
  );
  await using peers = new RaftPeers({
    identity: await RaftIdentity.open({
      controllerId: 1,
      diskId: 'disk-1',
      clusterId: () => 'c',
      members: new Set([1, 2]),
      membership: () => membership,
      unapplied: () => [],
      disk: new MemoryDisk(),
      path: 'peers.json',
      checksum: nodeChecksum,
      logger: silentLogger,
    }),
    driver: { step: () => undefined, reportUnreachable: () => undefined, reportSnapshot: () => undefined },
    transportTo: () => transport,
    onHeard: () => undefined,
    onRemoved: () => undefined,
    checksum: nodeChecksum,
    timers: nodeTimers,
    logger: silentLogger,
    heartbeatMs: 100,
    callTimeoutMs: 1_000,
    snapshots: { chunkBytes: 1_000, bytesPerSecond: 1e9, stallTimeoutMs: 1_000, answerTimeoutMs: 1_000 },
  });
  const heartbeat = createMessage('MsgHeartbeat', { from: 1, to: 2, term: 2 as Term });
  peers.send(heartbeat);
  membership = withoutMember(membership, 2);
  peers.send(heartbeat);
  await peers[Symbol.asyncDispose]();
  assert.deepEqual(asked, ['disk-2']);
});
