/** P14, KIP-966: who may lead when no in-sync replica can, as tables, and as a property with records on top of the metadata. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ErrorName, PartitionId } from '@fleetmq/shared';
import fc from 'fast-check';
import { id, Machine, shape, topicId } from '../testing/machine.fuzz.ts';

const level = 3;

function setMinimum(machine: Machine, value: string | undefined): void {
  const set = new Map(value === undefined ? [] : [['min.insync.replicas', value]]);
  const remove = value === undefined ? ['min.insync.replicas'] : [];
  machine.do({ kind: 'alter-config', topicId: topicId(1), set, remove });
}

function prove(machine: Machine, ...brokers: readonly number[]): ErrorName | 'ok' {
  return machine.try({ kind: 'elect-proven', replicas: brokers.map((broker) => machine.proven(broker)) });
}

function failLog(machine: Machine, broker: number): void {
  machine.do({ kind: 'fail-replica', ...machine.life(broker), topicId: topicId(1), partition: 0 as PartitionId });
}

describe('eligible replicas', () => {
  test('who leaves an ISR that is too small then stays eligible, until it is large enough', () => {
    const machine = Machine.at(level, 1, 2, 3);
    machine.fence(1);
    assert.equal(shape(machine.partition), '2: 2 3');
    machine.fence(2);
    assert.equal(shape(machine.partition), '3: 3 (2)');
    machine.unfence(2);
    machine.unfence(1);
    assert.equal(shape(machine.partition), '3: 3 (2)');
    assert.equal(machine.changeIsr(3, [3, 1]), 'ok');
    assert.equal(shape(machine.partition), '3: 1 3');
  });

  test('the last in-sync replica goes: an eligible one that is in service leads at once', () => {
    const machine = Machine.at(level, 1, 2);
    assert.equal(machine.changeIsr(1, [1]), 'ok');
    assert.equal(shape(machine.partition), '1: 1 (2)');
    machine.fence(1);
    assert.equal(shape(machine.partition), '2: 2 (1)');
    machine.fence(2);
    assert.equal(shape(machine.partition), '0: 2 (1)');
    machine.unfence(1);
    assert.equal(shape(machine.partition), '1: 1 (2)');
  });

  test('P14: power loss of all: nobody leads without proof, and whoever has it does, the last one out or not', () => {
    const machine = Machine.at(level, 1, 2);
    for (const broker of [1, 2]) machine.register(broker);
    assert.equal(shape(machine.partition), '0: 2 (1)');
    const proof = machine.proven(1);
    assert.equal(prove(machine, 1), 'ok');
    assert.equal(shape(machine.partition), '0: 2 (1)', 'it is fenced');
    machine.unfence(1);
    assert.equal(shape(machine.partition), '0: 2 (1)');
    machine.do({ kind: 'elect-proven', replicas: [{ ...proof, leaderEpoch: 1 as typeof proof.leaderEpoch }] });
    assert.equal(shape(machine.partition), '0: 2 (1)', 'another leader epoch');
    assert.equal(prove(machine, 1), 'ok');
    assert.equal(shape(machine.partition), '1: 1 (2)');
    machine.unfence(2);
    assert.equal(prove(machine, 2), 'ok');
    assert.equal(shape(machine.partition), '1: 1 (2)', 'it has a leader');
  });

  test('the last in-sync replica leads without proof after a clean stop alone', () => {
    for (const clean of [true, false]) {
      const machine = Machine.at(level, 1, 2);
      machine.fence(2);
      machine.register(1, { clean });
      machine.unfence(1);
      assert.equal(shape(machine.partition), clean ? '1: 1 (2)' : '0: 1 (2)');
    }
  });

  test('a member with company in the ISR has been proven, however its life began', () => {
    const machine = Machine.at(level, 1, 2);
    machine.register(2);
    machine.unfence(2);
    assert.equal(machine.changeIsr(1, [1, 2]), 'ok');
    machine.fence(1);
    assert.equal(shape(machine.partition), '2: 2 (1)');
  });

  test('the settings decide: a smaller minimum forgets, for the topic and for the cluster', () => {
    const machine = Machine.at(level, 1, 2, 3);
    setMinimum(machine, '3');
    machine.fence(3);
    assert.equal(shape(machine.partition), '1: 1 2 (3)');
    const { partitionEpoch } = machine.partition;
    setMinimum(machine, '2');
    assert.equal(shape(machine.partition), '1: 1 2');
    assert.equal(machine.partition.partitionEpoch, partitionEpoch + 1);
    setMinimum(machine, undefined);
    machine.fence(2);
    assert.equal(shape(machine.partition), '1: 1 (2)');
    machine.do({
      kind: 'alter-config',
      topicId: undefined,
      set: new Map([['min.insync.replicas', '1']]),
      remove: [],
    });
    assert.equal(shape(machine.partition), '1: 1');
  });

  test('a disk that was replaced or removed is not eligible, nor a log that has failed', () => {
    const machine = Machine.at(level, 1, 2, 3);
    setMinimum(machine, '3');
    machine.fence(3);
    machine.register(3, { disk: 'other' });
    assert.equal(shape(machine.partition), '1: 1 2');
    machine.fence(2);
    assert.equal(shape(machine.partition), '1: 1 (2)');
    failLog(machine, 2);
    assert.equal(shape(machine.partition), '1: 1');
    const gone = Machine.at(level, 1, 2);
    gone.fence(2);
    assert.equal(shape(gone.partition), '1: 1 (2)');
    gone.do({ kind: 'unregister-broker', brokerId: id(2) });
    assert.equal(shape(gone.partition), '1: 1');
  });

  test('a leader whose log has failed gives way to an in-sync replica, else to an eligible one', () => {
    const machine = Machine.at(level, 1, 2, 3);
    failLog(machine, 1);
    assert.equal(shape(machine.partition), '2: 1 2 3');
    assert.equal(machine.changeIsr(2, [2, 3]), 'ok');
    assert.equal(machine.changeIsr(2, [2]), 'ok');
    assert.equal(shape(machine.partition), '2: 2 (3)');
    failLog(machine, 2);
    assert.equal(shape(machine.partition), '3: 3 (2)');
    failLog(machine, 2);
    assert.equal(shape(machine.partition), '3: 3');
    failLog(machine, 3);
    assert.equal(shape(machine.partition), '3: 3', 'nobody else can');
  });

  test('below metadata.version 3 nothing of it is written', () => {
    const machine = Machine.at(2, 1, 2);
    machine.fence(2);
    assert.equal(shape(machine.partition), '1: 1');
    assert.equal(machine.image.broker(id(1))?.cleanStart, undefined);
    assert.equal(prove(machine, 1), 'UNSUPPORTED_VERSION');
  });
});

interface Step {
  readonly action: number;
  readonly broker: number;
  readonly count: number;
  readonly flag: boolean;
}

/** Records of one partition on four brokers: how far each log goes, and how far the leader has committed. */
class Records {
  readonly machine = Machine.at(level, 1, 2, 3);
  readonly #ends = new Map<number, number>([1, 2, 3, 4].map((broker) => [broker, 0]));
  #committed = 0;
  #leaderEpoch = 1;

  constructor() {
    this.machine.register(4);
    this.machine.unfence(4);
  }

  take({ action, broker, count, flag }: Step): void {
    const { machine } = this;
    const { leaderId, inSyncReplicas, replicas } = machine.partition;
    const isUp = machine.image.broker(id(broker))?.state !== 'fenced';
    if (action < 4) machine.try({ kind: isUp ? 'fence-broker' : 'unfence-broker', ...machine.life(broker) });
    else if (action < 6) machine.register(broker, { clean: flag });
    else if (action === 6) setMinimum(machine, flag ? undefined : String(1 + (count % 3)));
    else if (action === 7) machine.move([1, 2, 3, 4].filter((each) => each !== broker).slice(0, 1 + (count % 3)));
    else if (action === 8) {
      if (flag) this.#fail(broker);
      else machine.try({ kind: 'drain-broker', ...machine.life(broker), stopping: true });
    } else if (action < 11) prove(machine, broker);
    else if (leaderId !== 0) {
      const own = this.#ends.get(leaderId) as number;
      if (action < 14) this.#ends.set(leaderId, own + count);
      else if (action < 18 && isUp && replicas.includes(id(broker))) this.#ends.set(broker, own);
      else if (action < 20) this.#changeIsr(leaderId, broker, inSyncReplicas);
    }
    this.#settle();
  }

  /** Out of the ISR, or into it, if it has all that is committed. */
  #changeIsr(leaderId: number, broker: number, inSync: readonly number[]): void {
    if (inSync.includes(broker))
      this.machine.changeIsr(
        leaderId,
        inSync.filter((each) => each !== broker),
      );
    else if ((this.#ends.get(broker) as number) >= this.#committed)
      this.machine.changeIsr(leaderId, [...inSync, broker]);
  }

  /** As a broker does: its log is made anew once it counts for nothing. */
  #fail(broker: number): void {
    const before = this.machine.partition;
    if (!before.replicas.includes(id(broker))) return;
    failLog(this.machine, broker);
    const { leaderId, inSyncReplicas, eligibleReplicas = [] } = this.machine.partition;
    const counts = [...inSyncReplicas, ...eligibleReplicas].includes(id(broker));
    if (!counts && leaderId !== 0 && leaderId !== broker) this.#ends.set(broker, 0);
  }

  /** Followers cut to a new leader; the leader commits; nobody who may lead lacks a committed record. */
  #settle(): void {
    const { machine } = this;
    const { leaderId, leaderEpoch, replicas, inSyncReplicas, eligibleReplicas = [] } = machine.partition;
    for (const broker of [1, 2, 3, 4]) if (!replicas.includes(id(broker))) this.#ends.set(broker, 0);
    if (leaderId !== 0) {
      const own = this.#ends.get(leaderId) as number;
      assert.ok(own >= this.#committed, `broker ${leaderId} leads with ${own} of ${this.#committed} committed records`);
      if (leaderEpoch !== this.#leaderEpoch) {
        for (const [broker, end] of this.#ends) this.#ends.set(broker, Math.min(end, own));
      }
      this.#leaderEpoch = leaderEpoch;
      if (inSyncReplicas.length >= this.#minimum()) {
        const ends = inSyncReplicas.map((each) => this.#ends.get(each) as number);
        this.#committed = Math.max(this.#committed, Math.min(...ends));
      }
    }
    for (const each of [...inSyncReplicas, ...eligibleReplicas]) {
      const end = this.#ends.get(each) as number;
      assert.ok(end >= this.#committed, `${shape(machine.partition)}: ${each} has ${end} of ${this.#committed}`);
    }
    assert.deepEqual(
      eligibleReplicas.filter((each) => inSyncReplicas.includes(each) || !replicas.includes(each)),
      [],
    );
  }

  #minimum(): number {
    const { move, replicas } = this.machine.partition;
    const factor = (move?.targetReplicas ?? replicas).length;
    const own = this.machine.image.topicById(topicId(1))?.config.get('min.insync.replicas');
    return own === undefined ? Math.min(2, factor) : Number(own);
  }
}

test('P11, P14: whoever may lead has every committed record, whatever stops, fails, moves and is set', () => {
  const step: fc.Arbitrary<Step> = fc.record({
    action: fc.nat(19),
    broker: fc.integer({ min: 1, max: 4 }),
    count: fc.nat(5),
    flag: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150, size: 'max' }), (steps) => {
      const records = new Records();
      for (const each of steps) records.take(each);
    }),
    { numRuns: 400 },
  );
});
