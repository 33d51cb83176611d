import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { MetadataEventSchema, MetadataSnapshotSchema } from '@fleetmq/gen/controller/metadata_log';
import { RaftMembershipSchema } from '@fleetmq/gen/controller/raft';
import { endpointOf, joinSnapshotParts, MetadataImage } from '@fleetmq/metadata';
import { WireWriter } from '@fleetmq/shared';
import fc from 'fast-check';
import { histories, someBroker } from '../src/histories.fuzz.ts';
import {
  brokerToProto,
  checkVersion,
  decodeSnapshot,
  durationFromProto,
  durationToProto,
  encodeEvents,
  endpointFromProto,
  eventFromProto,
  eventToProto,
  leaderHintOf,
  SnapshotPages,
  snapshotFromProto,
  snapshotToProto,
  topicToProto,
} from './index.ts';

describe('metadata on the wire', () => {
  test('events come back as they went, through bytes', () => {
    fc.assert(
      fc.property(histories, (steps) => {
        for (const event of steps.flatMap((step) => step.events)) {
          const bytes = toBinary(MetadataEventSchema, eventToProto(event));
          assert.deepEqual(eventFromProto(fromBinary(MetadataEventSchema, bytes)), event);
        }
      }),
    );
  });

  test('events that are encoded for many have the bytes of their messages', () => {
    fc.assert(
      fc.property(histories, (steps) => {
        const events = steps.flatMap((step) => step.events);
        const expected = new WireWriter();
        for (const event of events) expected.bytesField(4, toBinary(MetadataEventSchema, eventToProto(event)));
        assert.deepEqual(encodeEvents(4, events), expected.finish());
      }),
    );
  });

  test('snapshots come back as they went, through bytes', () => {
    fc.assert(
      fc.property(histories, (steps) => {
        const image = new MetadataImage();
        for (const step of steps) image.apply(step.version, step.events);
        const bytes = toBinary(MetadataSnapshotSchema, snapshotToProto(image.snapshot()));
        assert.deepEqual(snapshotFromProto(fromBinary(MetadataSnapshotSchema, bytes)), image.snapshot());
      }),
    );
  });

  test('a snapshot that is read from its bytes is the one that goes by messages', () => {
    fc.assert(
      fc.property(histories, (steps) => {
        const image = new MetadataImage();
        for (const step of steps) image.apply(step.version, step.events);
        const bytes = toBinary(MetadataSnapshotSchema, snapshotToProto(image.snapshot()));
        assert.deepEqual(decodeSnapshot(bytes).snapshot, snapshotFromProto(fromBinary(MetadataSnapshotSchema, bytes)));
      }),
    );
  });

  test('a snapshot with partitions that are none is refused, one with unknown fields is read', () => {
    const snapshotOf = (partition: Uint8Array) => new WireWriter().bytesField(5, partition).finish();
    const field = (number: number, bytes: Uint8Array) => new WireWriter().bytesField(number, bytes).finish();
    const topicId = new TextEncoder().encode('0'.repeat(32));
    const partition = new WireWriter()
      .varintField(1, 7)
      .bytesField(4, Uint8Array.of(1, 2))
      .bytesField(5, Uint8Array.of(2));
    const whole = new WireWriter().bytesField(1, topicId).bytesField(2, partition.varintField(99, 1).finish());
    const [read] = decodeSnapshot(snapshotOf(whole.bytesField(77, topicId).finish())).snapshot.partitions;
    assert.deepEqual([read?.partition, read?.replicas, read?.inSyncReplicas], [7, [1, 2], [2]]);
    const wrong = [
      field(1, topicId),
      field(2, new Uint8Array(0)),
      new WireWriter().bytesField(1, topicId).varintField(2, 1).finish(),
      new WireWriter()
        .bytesField(1, topicId)
        .bytesField(2, field(4, Uint8Array.of(0)))
        .finish(),
      new WireWriter().bytesField(1, topicId).bytesField(2, Uint8Array.of(8)).finish(),
    ];
    for (const each of wrong) assert.throws(() => decodeSnapshot(snapshotOf(each)), { code: 'INVALID_REQUEST' });
  });

  test('a snapshot in pages has the same bytes, whatever was encoded when', () => {
    fc.assert(
      fc.property(histories, fc.nat(60), fc.nat(3), (steps, cut, itemsMax) => {
        const image = new MetadataImage();
        for (const step of steps.slice(0, cut)) image.apply(step.version, step.events);
        const pages = new SnapshotPages(image);
        for (const step of steps.slice(cut)) {
          image.apply(step.version, step.events);
          pages.changed(step.events);
          pages.prepare(itemsMax);
        }
        const membership = create(RaftMembershipSchema, { promoting: [7] });
        const message = snapshotToProto(image.snapshot());
        assert.deepEqual(pages.encode(), toBinary(MetadataSnapshotSchema, message));
        const whole = toBinary(MetadataSnapshotSchema, { ...message, membership });
        assert.deepEqual(pages.encode(membership), whole);
        const parts = pages.parts(100).map((part) => fromBinary(MetadataSnapshotSchema, Buffer.concat(part)));
        assert.deepEqual(joinSnapshotParts(parts.map(snapshotFromProto)), image.snapshot());
        assert.equal(pages.prepare(1), 0);
      }),
    );
  });

  test('an event of an unknown kind is refused, not skipped', () => {
    assert.throws(() => eventFromProto(create(MetadataEventSchema)), { code: 'UNSUPPORTED_VERSION' });
  });

  test('malformed values are refused', () => {
    const refused = (event: Parameters<typeof eventFromProto>[0]['event']): void => {
      assert.throws(() => eventFromProto(create(MetadataEventSchema, { event })), { code: 'INVALID_REQUEST' });
    };
    refused({ case: 'brokerRemoved', value: 0 });
    refused({ case: 'brokerRemoved', value: 2 ** 31 });
    refused({ case: 'topicRemoved', value: '../../etc' });
    const endpoint = endpointOf(someBroker(1, 1), 'client');
    assert.ok(endpoint);
    for (const wrong of [{ listener: 'public' }, { host: '' }, { port: 0 }, { port: 65_536 }]) {
      assert.throws(() => endpointFromProto({ ...endpoint, ...wrong } as never), { code: 'INVALID_REQUEST' });
    }
  });

  test('a client sees the client listener alone', () => {
    const { endpoints, broker } = brokerToProto(someBroker(7, 1), 'client');
    assert.deepEqual(
      endpoints.map(({ listener, host }) => [listener, host]),
      [['client', 'client-7']],
    );
    assert.equal(broker?.id, '7');
    assert.deepEqual(brokerToProto(someBroker(7, 1), 'ops').endpoints, []);
  });

  test('a topic carries its partitions, and a hint names the listener that was asked for', () => {
    fc.assert(
      fc.property(histories, (steps) => {
        const image = new MetadataImage();
        for (const step of steps) image.apply(step.version, step.events);
        for (const topic of image.topics()) {
          assert.equal(topicToProto(image, topic).partitions.length, topic.partitionCount);
          for (const partition of image.partitions(topic.topicId)) {
            const known = image.broker(partition.leaderId) !== undefined;
            const expected = known ? `${partition.leaderId}@internal-${partition.leaderId}:7611` : undefined;
            assert.equal(leaderHintOf(image, partition, 'internal'), expected);
          }
        }
      }),
    );
  });

  test('durations keep their milliseconds', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 31 - 1), (durationMs) => {
        assert.equal(durationFromProto(durationToProto(durationMs), 'wait'), durationMs);
      }),
    );
    assert.equal(durationFromProto(undefined, 'wait'), undefined);
    assert.throws(() => durationFromProto({ ...durationToProto(0), seconds: -1n }, 'wait'), {
      code: 'INVALID_REQUEST',
    });
  });

  test('a higher major version is refused, any minor is not', () => {
    for (const version of [undefined, { major: 0 }, { major: 1 }]) checkVersion(version);
    assert.throws(() => checkVersion({ major: 2 }), { code: 'UNSUPPORTED_VERSION' });
  });
});
