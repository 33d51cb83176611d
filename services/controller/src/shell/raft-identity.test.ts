/** Whose messages are taken, by what the node has applied, what lies in its log, and what the message wants of it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { type RaftEnvelope, RaftEnvelopeSchema } from '@fleetmq/gen/controller/raft';
import { isDomainError, silentLogger, tableChecksum } from '@fleetmq/shared';
import { type Member, type Membership, noMembership, withMember, withoutMember } from '../domain/membership.ts';
import { MemoryDisk } from '../testing/memory-disk.ts';
import { type Claim, RaftIdentity, type RaftIdentityOptions } from './raft-identity.ts';

const member = (controllerId: number, diskId = `disk-${controllerId}`): Member => ({
  controllerId,
  diskId,
  host: 'c',
  port: controllerId,
});
const members = (...list: Member[]): Membership => ({ ...noMembership, members: list });
const agreed = members(member(1), member(2), member(3));

const envelope = (senderId: number, fields: Partial<RaftEnvelope> = {}): RaftEnvelope =>
  create(RaftEnvelopeSchema, {
    clusterId: 'c',
    senderId,
    senderDiskId: `disk-${senderId}`,
    targetId: 1,
    targetDiskId: 'disk-1',
    ...fields,
  });

function identityWith(options: Partial<RaftIdentityOptions> = {}): Promise<RaftIdentity> {
  return RaftIdentity.open({
    controllerId: 1,
    diskId: 'disk-1',
    clusterId: () => 'c',
    members: new Set([1, 2, 3]),
    membership: () => agreed,
    unapplied: () => [],
    disk: new MemoryDisk(),
    path: 'peers.json',
    checksum: tableChecksum,
    logger: silentLogger,
    ...options,
  });
}

const answer: Claim = { kind: 'answer' };
const leader: Claim = { kind: 'leader' };
const ahead: Claim = { kind: 'candidate', isAhead: true };
const behind: Claim = { kind: 'candidate', isAhead: false };

async function verdicts(identity: RaftIdentity, message: RaftEnvelope): Promise<string> {
  const results: string[] = [];
  for (const claim of [answer, leader, ahead, behind]) {
    try {
      await identity.check(message, claim);
      results.push('ok');
    } catch (error) {
      assert.ok(isDomainError(error), String(error));
      results.push(error.code);
    }
  }
  return results.map((each) => (each === 'UNAUTHORIZED' ? 'no' : each)).join(' ');
}

describe('identity of controllers', () => {
  const removed = withoutMember(agreed, 3);
  const renewed = withMember(removed, member(3, 'new'), true);
  const joiner = { members: new Set<number>(), membership: () => noMembership, clusterId: () => '' };
  const table: readonly (readonly [string, Partial<RaftIdentityOptions>, RaftEnvelope, string])[] = [
    // verdicts for an answer, a leader's message, a candidate that is ahead, one that is not
    ['a member', {}, envelope(2), 'ok ok ok ok'],
    ['a member with a wiped disk', {}, envelope(2, { senderDiskId: 'x' }), 'no ok no no'],
    ['nobody that is known', {}, envelope(9), 'no ok ok no'],
    ['nobody that is known, of no cluster', {}, envelope(9, { clusterId: '' }), 'no no no no'],
    ['somebody named in the log', { unapplied: () => [members(member(9))] }, envelope(9), 'ok ok ok ok'],
    ['another disk than the log names', { unapplied: () => [members(member(9, 'y'))] }, envelope(9), 'no ok ok no'],
    [
      'a wiped disk, to a first voter that finds the old one in its log after a restart',
      { membership: () => noMembership, unapplied: () => [agreed] },
      envelope(2, { senderDiskId: 'x' }),
      'no ok no no',
    ],
    ['a removed one', { membership: () => removed }, envelope(3), 'no no no no'],
    ['a removed one, renewed', { membership: () => renewed }, envelope(3, { senderDiskId: 'new' }), 'ok ok ok ok'],
    ['its old disk', { membership: () => renewed }, envelope(3), 'no no no no'],
    ['this node itself', {}, envelope(1), 'no no no no'],
    ['anybody, to one that waits to be added', joiner, envelope(2), 'no ok ok no'],
    [
      'somebody who does not know the disk of the one that waits to be added',
      joiner,
      envelope(2, { targetDiskId: '' }),
      'WRONG_TARGET WRONG_TARGET WRONG_TARGET WRONG_TARGET',
    ],
    ['somebody who does not know the disk of a member', {}, envelope(2, { targetDiskId: '' }), 'ok ok ok ok'],
  ];
  for (const [name, options, message, expected] of table) {
    test(`${name}: ${expected}`, async () =>
      assert.equal(await verdicts(await identityWith(options), message), expected));
  }

  test('another cluster, another target, another disk of the target', async () => {
    const identity = await identityWith();
    await assert.rejects(identity.check(envelope(2, { clusterId: 'd' })), { code: 'WRONG_CLUSTER' });
    await assert.rejects(identity.check(envelope(2, { targetId: 3 })), { code: 'WRONG_TARGET' });
    await assert.rejects(identity.check(envelope(2, { targetDiskId: 'd' })), {
      code: 'WRONG_TARGET',
      message: /new disk/,
    });
    await assert.rejects(identity.check(undefined), { code: 'INVALID_REQUEST' });
  });

  test('a first voter keeps the disk that it first spoke from, also over a restart, until one is agreed on', async () => {
    const disk = new MemoryDisk();
    let membership = noMembership;
    const options = { disk, membership: () => membership };
    const identity = await identityWith(options);
    assert.equal(identity.diskOf(2), undefined);
    assert.equal(await identity.check(envelope(2)), 2);
    const again = await identityWith(options);
    assert.equal(again.diskOf(2), 'disk-2');
    await assert.rejects(again.check(envelope(2, { senderDiskId: 'wiped' })), { code: 'UNAUTHORIZED' });
    membership = members(member(1), member(2, 'wiped'), member(3, ''));
    assert.equal(await again.check(envelope(2, { senderDiskId: 'wiped' })), 2);
    // One whose disk nobody knew at that time is still free to say.
    assert.equal(await again.check(envelope(3)), 3);
    assert.equal(again.diskOf(3), 'disk-3');
    assert.deepEqual([again.envelopeFor(2).targetDiskId, again.envelopeFor(9).targetDiskId], ['wiped', '']);
  });

  test('a node that is behind answers a leader that has come back with another disk, so that it can catch up', async () => {
    const renewed = withMember(withoutMember(agreed, 2), member(2, 'new'), true);
    const leading = await identityWith({ controllerId: 2, diskId: 'new', membership: () => renewed });
    const lagging = await identityWith();
    const request = leading.envelopeFor(1);
    assert.equal(await lagging.check(request, leader), 2);
    assert.equal(await leading.check(lagging.answerTo(request)), 1);
    await assert.rejects(leading.check(lagging.envelopeFor(2)), { code: 'WRONG_TARGET' });
  });

  test('P20: a flipped bit in the file with the disks is found', async () => {
    const disk = new MemoryDisk();
    const options = { disk, membership: () => noMembership };
    await (await identityWith(options)).check(envelope(2));
    const bytes = disk.files.get('peers.json') as Uint8Array;
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      const opened = await identityWith(options).catch((error: unknown) => error);
      // Some bits between the values mean nothing.
      if (opened instanceof RaftIdentity) assert.equal(opened.diskOf(2), 'disk-2');
      else assert.equal(isDomainError(opened) && opened.code, 'CORRUPT_LOG');
      bytes[bit >> 3]! ^= 1 << (bit & 7);
    }
  });

  test('only who was removed is told so', async () => {
    const identity = await identityWith({ membership: () => removed });
    assert.equal(identity.isRetired(envelope(3)), true);
    assert.equal(identity.isRetired(envelope(3, { senderDiskId: 'x' })), false);
    assert.equal(identity.isRetired(envelope(2)), false);
  });
});
