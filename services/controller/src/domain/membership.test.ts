import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { decodeMembership, encodeMembership } from '../wire/membership.ts';
import { judgeLearner } from './catch-up.ts';
import {
  isRetired,
  type Member,
  type Membership,
  memberOf,
  membersMax,
  noMembership,
  planAddition,
  planReplacement,
  refusalToRemove,
  replacedBy,
  retiredMax,
  withDisks,
  withMember,
  withoutMember,
  withoutPromotion,
} from './membership.ts';

const member = (controllerId: number, fields: Partial<Member> = {}): Member => ({
  controllerId,
  diskId: `disk-${controllerId}`,
  host: 'c',
  port: 7_000 + controllerId,
  ...fields,
});
const three: Membership = { members: [member(1), member(2), member(3)], promoting: [], retired: [], replacing: [] };

describe('membership of the controllers', () => {
  test('comes and goes by id; who is to be promoted is remembered, and whose disk is gone', () => {
    const grown = withMember(withMember(three, member(5), true), member(4), false);
    assert.deepEqual(
      grown.members.map(({ controllerId }) => controllerId),
      [1, 2, 3, 4, 5],
    );
    assert.deepEqual(grown.promoting, [5]);
    assert.deepEqual(withoutPromotion(grown, 5).promoting, []);
    const shrunk = withoutMember(grown, 5);
    assert.deepEqual([shrunk.promoting, memberOf(shrunk, 5)], [[], undefined]);
    assert.ok(isRetired(shrunk, 5, 'disk-5'));
    assert.ok(!isRetired(shrunk, 5, 'disk-6') && !isRetired(shrunk, 4, 'disk-5'));
    // A disk that nobody has ever seen cannot be kept out by its name.
    assert.deepEqual(withoutMember(withMember(three, member(6, { diskId: '' }), true), 6).retired, []);
  });

  test('the disks of the first voters are noted as they become known', () => {
    const known = new Map([[1, 'disk-1']]);
    const options = { ownId: 1, diskOf: (id: number) => known.get(id) };
    assert.equal(withDisks(noMembership, [1, 2, 3], options), undefined);
    assert.deepEqual(withDisks(noMembership, [1], options)?.members, [member(1, { host: '', port: 0 })]);
    known.set(3, 'disk-3');
    const first = withDisks(noMembership, [3, 1, 2], options) as Membership;
    assert.deepEqual(
      first.members.map(({ controllerId, diskId, port }) => [controllerId, diskId, port]),
      [
        [1, 'disk-1', 0],
        [2, '', 0],
        [3, 'disk-3', 0],
      ],
    );
    assert.equal(withDisks(first, [1, 2, 3], options), undefined);
    known.set(2, 'disk-2').set(3, 'wiped');
    const second = withDisks(first, [1, 2, 3], options);
    assert.deepEqual(
      second?.members.map(({ diskId }) => diskId),
      ['disk-1', 'disk-2', 'disk-3'],
    );
    assert.equal(withDisks(three, [1, 2, 3], options), undefined);
  });

  test('what is retired is bounded, the oldest goes', () => {
    let membership = noMembership;
    for (let id = 1; id <= retiredMax + 5; id++) {
      membership = withoutMember(withMember(membership, member(id), true), id);
    }
    assert.equal(membership.retired.length, retiredMax);
    assert.equal(membership.retired[0]?.controllerId, 6);
  });

  test('travels and is stored as it is', () => {
    const ids = fc.integer({ min: 1, max: 2 ** 31 - 1 });
    const plain = { noNullPrototype: true } as const;
    const members = fc.record(
      { controllerId: ids, diskId: fc.string(), host: fc.string(), port: fc.nat(65_535) },
      plain,
    );
    const memberships = fc.record(
      {
        members: fc.array(members),
        promoting: fc.array(ids),
        retired: fc.array(members),
        replacing: fc.array(fc.record({ controllerId: ids, replacedId: ids }, plain)),
      },
      plain,
    );
    fc.assert(fc.property(memberships, (each) => assert.deepEqual(decodeMembership(encodeMembership(each)), each)));
    assert.throws(() => decodeMembership(Uint8Array.of(7, 7, 7)), { code: 'INVALID_REQUEST' });
  });

  test('a learner that is to take the place of a voter is added first; then it leaves no trace but the retired one', () => {
    const voters = [1, 2, 3];
    const added = planReplacement(three, member(4), { replacedId: 3, voters });
    assert.ok(added.kind === 'add');
    const { next } = added;
    assert.deepEqual([next.promoting, replacedBy(next, 4), replacedBy(next, 3)], [[4], 3, undefined]);
    assert.equal(planReplacement(next, member(4), { replacedId: 3, voters }).kind, 'nothing');
    // A learner that is there already, and another voter after all.
    const learner = withMember(three, member(4), false);
    const late = planReplacement(learner, member(4), { replacedId: 3, voters });
    assert.ok(late.kind === 'update' && replacedBy(late.next, 4) === 3 && late.next.promoting.includes(4));
    const other = planReplacement(next, member(4), { replacedId: 2, voters });
    assert.ok(other.kind === 'update');
    assert.deepEqual(other.next.replacing, [{ controllerId: 4, replacedId: 2 }]);
    // Whichever of the two goes, or is promoted: it is over.
    for (const each of [withoutMember(next, 3), withoutMember(next, 4), withoutPromotion(next, 4)]) {
      assert.deepEqual(each.replacing, []);
    }
    const refused: readonly (readonly [Member, number, RegExp])[] = [
      [member(5), 9, /controller 9 does not vote/],
      [member(2), 3, /controller 2 votes already/],
      [member(5), 3, /controller 4 is replacing controller 3/],
      [member(5, { diskId: 'disk-1' }), 2, /disk disk-1 is that of controller 1/],
    ];
    for (const [newcomer, replacedId, message] of refused) {
      const plan = planReplacement(next, newcomer, { replacedId, voters });
      assert.ok(plan.kind === 'refused');
      assert.match(plan.error.message, message);
    }
  });

  const gone = withoutMember(three, 3);
  const full: Membership = { ...three, members: Array.from({ length: membersMax }, (_, index) => member(index + 10)) };
  const additions: readonly (readonly [string, Membership, Member, RegExp | undefined])[] = [
    ['a new one', three, member(4), undefined],
    ['a removed id on another disk', gone, member(3, { diskId: 'new' }), undefined],
    ['a removed disk', gone, member(3), /was removed from the quorum/],
    ['a removed disk under another id', gone, member(4, { diskId: 'disk-3' }), /was removed from the quorum/],
    ['a member with another disk', three, member(2, { diskId: 'new' }), /is a member already.*remove it first/],
    ['the disk of another member', three, member(4, { diskId: 'disk-2' }), /that of controller 2/],
    ['the address of another member', three, member(4, { port: 7_002 }), /address of controller 2/],
    ['an id out of range', three, member(0), /controller id 0/],
    ['no host', three, member(4, { host: '' }), /no address/],
    ['a port out of range', three, member(4, { port: 0 }), /no address/],
    ['no disk', three, member(4, { diskId: '' }), /no disk id/],
    ['one too many', full, member(4), /the most there may be/],
  ];
  for (const [name, membership, added, reason] of additions) {
    test(`adding ${name}: ${reason === undefined ? 'yes' : 'no'}`, () => {
      const plan = planAddition(membership, added, { promote: true, isVoter: false });
      assert.equal(plan.kind, reason === undefined ? 'add' : 'refused');
      if (plan.kind === 'add') assert.deepEqual(plan.next, withMember(membership, added, true));
      if (plan.kind === 'refused') assert.match(plan.error.message, reason as RegExp);
    });
  }

  const learning = { ...three, promoting: [3] };
  const again: readonly (readonly [string, Membership, Member, boolean, boolean, readonly number[] | undefined])[] = [
    // membership, member, promote, isVoter -> whom the next one promotes; undefined: nothing changes
    ['a voter, just so', three, member(2), true, true, undefined],
    ['a learner, just so', three, member(3), false, false, undefined],
    ['a learner, to be promoted after all', three, member(3), true, false, [3]],
    ['a learner that is to be promoted', learning, member(3), false, false, undefined],
    ['a voter elsewhere', learning, member(2, { port: 1 }), true, true, [3]],
    ['a learner elsewhere', three, member(3, { host: 'd' }), false, false, []],
  ];
  for (const [name, membership, added, promote, isVoter, promoting] of again) {
    test(`adding again: ${name}`, () => {
      const plan = planAddition(membership, added, { promote, isVoter });
      assert.equal(plan.kind, promoting === undefined ? 'nothing' : 'update');
      if (plan.kind !== 'update') return;
      assert.deepEqual(plan.next.promoting, promoting);
      assert.deepEqual(memberOf(plan.next, added.controllerId), added);
    });
  }

  const removals: readonly (readonly [
    readonly number[],
    readonly number[],
    number,
    readonly number[],
    boolean,
    string,
  ])[] = [
    // voters, learners, who, active, force -> code
    [[1, 2, 3], [], 3, [1, 2, 3], false, ''],
    [[1, 2, 3], [], 3, [1, 2], false, ''],
    [[1, 2, 3], [], 2, [1, 2], false, 'NOT_ENOUGH_REPLICAS'],
    [[1, 2, 3], [], 2, [1, 2], true, ''],
    [[1, 2, 3, 4, 5], [], 5, [1, 2, 3], false, ''],
    [[1, 2, 3, 4, 5], [], 3, [1, 2, 3], false, 'NOT_ENOUGH_REPLICAS'],
    [[1, 2], [], 2, [1], false, ''],
    [[1], [], 1, [1], true, 'INVALID_REQUEST'],
    [[1, 2], [4], 4, [1], false, ''],
    [[1, 2], [4], 5, [1, 2], true, 'INVALID_REQUEST'],
  ];
  for (const [voters, learners, controllerId, active, force, code] of removals) {
    test(`removing ${controllerId} of ${voters} and learners ${learners}, active ${active}, force ${force}: ${code}`, () => {
      const isActive = (id: number): boolean => active.includes(id);
      const refused = refusalToRemove({ controllerId, voters, learners, isActive, force });
      assert.equal(refused?.code ?? '', code);
      assert.ok(!(refused?.retriable ?? false));
    });
  }
});

test('a learner is ready when it has gone through a short round, and is alive', () => {
  const at = (nowMs: number, matchIndex: number, lastIndex: number, isActive = true) => ({
    nowMs,
    matchIndex,
    lastIndex,
    isActive,
  });
  const first = judgeLearner(undefined, at(0, 0, 100), 300);
  assert.deepEqual(first, { kind: 'wait', round: { target: 100, startedAtMs: 0 } });
  const round = { target: 100, startedAtMs: 0 };
  // The round goes on; it ends late; it ends in time but the learner is silent; it ends in time.
  assert.deepEqual(judgeLearner(round, at(200, 99, 150), 300), { kind: 'wait', round });
  const next = { kind: 'wait', round: { target: 150, startedAtMs: 301 } };
  assert.deepEqual(judgeLearner(round, at(301, 100, 150), 300), next);
  assert.equal(judgeLearner(round, at(300, 100, 150, false), 300).kind, 'wait');
  assert.deepEqual(judgeLearner(round, at(300, 100, 150), 300), { kind: 'ready' });
});
