import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDomainError, type LogIndex } from '@fleetmq/shared';
import fc from 'fast-check';
import {
  type ConfChange,
  type ConfChangeSingle,
  type ConfChangeTransition,
  type ConfChangeType,
  decodeConfChange,
  encodeConfChange,
  leaveJointChange,
} from './conf-change.ts';
import { type ChangerResult, changeSimple, enterJoint, leaveJoint, restoreConfig } from './conf-changer.ts';
import { describeConfig } from './describe-config.ts';
import { emptyBytes } from './messages.ts';
import { type JointConfig, jointVoters } from './quorum.ts';
import { emptyConfig, Tracker } from './tracker.ts';

const types: ConfChangeType[] = [
  'ConfChangeAddNode',
  'ConfChangeRemoveNode',
  'ConfChangeUpdateNode',
  'ConfChangeAddLearnerNode',
];
const transitions: ConfChangeTransition[] = [
  'ConfChangeTransitionAuto',
  'ConfChangeTransitionJointImplicit',
  'ConfChangeTransitionJointExplicit',
];
const single: fc.Arbitrary<ConfChangeSingle> = fc
  .record({ type: fc.constantFrom(...types), nodeId: fc.integer({ min: 0, max: 5 }) })
  .map((fields) => ({ ...fields }));
const bytes = fc.uint8Array({ maxLength: 8 });
const change: fc.Arbitrary<ConfChange> = fc.oneof(
  fc
    .record({ type: fc.constantFrom(...types), nodeId: fc.maxSafeNat(), context: bytes })
    .map((fields): ConfChange => ({ kind: 'one-step', ...fields })),
  fc
    .record({ transition: fc.constantFrom(...transitions), changes: fc.array(single), context: bytes })
    .map((fields): ConfChange => ({ kind: 'joint', ...fields })),
);
const limits = { lastIndex: 10 as LogIndex, maxInflightMsgs: 10, maxInflightBytes: Number.POSITIVE_INFINITY };

/** All sets of voters that can decide, by counting. */
function decidingSets(config: JointConfig, universe: readonly number[]): number[][] {
  const sets: number[][] = [];
  for (let mask = 0; mask < 2 ** universe.length; mask++) {
    const set = universe.filter((_, bit) => (mask & (1 << bit)) !== 0);
    const isMajority = (half: ReadonlySet<number>): boolean =>
      half.size === 0 || set.filter((id) => half.has(id)).length * 2 > half.size;
    if (isMajority(config.incoming) && isMajority(config.outgoing)) sets.push(set);
  }
  return sets;
}

const op = fc.oneof(
  fc.record({ kind: fc.constant('simple' as const), changes: fc.array(single, { minLength: 1, maxLength: 2 }) }),
  fc.record({
    kind: fc.constant('enter' as const),
    autoLeave: fc.boolean(),
    changes: fc.array(single, { maxLength: 4 }),
  }),
  fc.record({ kind: fc.constant('leave' as const), changes: fc.constant([]) }),
);

function walk(ops: readonly (typeof op extends fc.Arbitrary<infer Op> ? Op : never)[]): ChangerResult[] {
  let current = changeSimple({ ...limits, config: emptyConfig, progress: new Map() }, [
    { type: 'ConfChangeAddNode', nodeId: 1 },
  ]);
  const path = [current];
  for (const step of ops) {
    const input = { ...limits, ...current };
    try {
      if (step.kind === 'simple') current = changeSimple(input, step.changes);
      else if (step.kind === 'enter') current = enterJoint(input, step.autoLeave, step.changes);
      else current = leaveJoint(input);
    } catch (error) {
      assert.ok(isDomainError(error), String(error));
      continue;
    }
    path.push(current);
  }
  return path;
}

test('any two quorums of successive configurations have a voter in common', () => {
  fc.assert(
    fc.property(fc.array(op, { maxLength: 12 }), (ops) => {
      const path = walk(ops);
      for (let i = 1; i < path.length; i++) {
        const before = path[i - 1]?.config.voters as JointConfig;
        const after = path[i]?.config.voters as JointConfig;
        const universe = [...new Set([...jointVoters(before), ...jointVoters(after)])];
        const later = decidingSets(after, universe);
        for (const quorum of decidingSets(before, universe)) {
          for (const other of later)
            assert.ok(
              quorum.some((id) => other.includes(id)),
              `${quorum} and ${other}`,
            );
        }
      }
    }),
    { numRuns: 200 },
  );
});

test('voters and learners are disjoint, everybody has a progress and nobody else has one', () => {
  fc.assert(
    fc.property(fc.array(op, { maxLength: 12 }), (ops) => {
      for (const { config, progress } of walk(ops)) {
        const voters = jointVoters(config.voters);
        assert.ok(voters.every((id) => !config.learners.has(id)));
        assert.ok([...config.learnersNext].every((id) => config.voters.outgoing.has(id)));
        assert.deepEqual(new Set(progress.keys()), new Set([...voters, ...config.learners]));
        for (const [id, { isLearner }] of progress) assert.equal(isLearner, config.learners.has(id));
      }
    }),
  );
});

test('a stored configuration comes back as it was', () => {
  fc.assert(
    fc.property(fc.array(op, { maxLength: 12 }), (ops) => {
      const last = walk(ops).at(-1) as ChangerResult;
      const tracker = new Tracker();
      tracker.switchTo(last.config, last.progress);
      assert.equal(describeConfig(restoreConfig(limits, tracker.confState()).config), describeConfig(last.config));
    }),
  );
});

test('a refused change leaves its input alone', () => {
  const start = walk([]).at(-1) as ChangerResult;
  assert.throws(() => changeSimple({ ...limits, ...start }, [{ type: 'ConfChangeRemoveNode', nodeId: 1 }]), {
    code: 'INVALID_REQUEST',
    message: 'removed all voters',
  });
  assert.equal(describeConfig(start.config), 'voters=(1)');
});

test('changes survive encoding', () => {
  fc.assert(
    fc.property(change, (value) => {
      const { type, data } = encodeConfChange(value);
      assert.deepEqual(decodeConfChange(type, data), value);
    }),
  );
});

test('the bytes are those of raftpb', () => {
  const oneStep: ConfChange = { kind: 'one-step', type: 'ConfChangeRemoveNode', nodeId: 300, context: emptyBytes };
  assert.deepEqual([...encodeConfChange(oneStep).data], [8, 0, 16, 1, 24, 0xac, 2]);
  const joint: ConfChange = {
    kind: 'joint',
    transition: 'ConfChangeTransitionJointExplicit',
    changes: [{ type: 'ConfChangeAddLearnerNode', nodeId: 2 }],
    context: Uint8Array.of(7),
  };
  assert.deepEqual([...encodeConfChange(joint).data], [8, 2, 18, 4, 8, 3, 16, 2, 26, 1, 7]);
  assert.deepEqual(decodeConfChange('EntryConfChangeV2', emptyBytes), leaveJointChange);
  assert.throws(() => decodeConfChange('EntryConfChange', Uint8Array.of(16, 9)), { code: 'INVALID_REQUEST' });
  assert.throws(() => decodeConfChange('EntryConfChangeV2', Uint8Array.of(18, 5)), { code: 'INVALID_REQUEST' });
});
