import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { createClient, createRouterTransport } from '@connectrpc/connect';
import {
  ControllerRaftService,
  type InstallSnapshotRequest,
  InstallSnapshotResponseSchema,
  RaftEnvelopeSchema,
} from '@fleetmq/gen/controller/raft';
import { createMessage, emptyConfState, type Message } from '@fleetmq/raft';
import { DomainError, type LogIndex, silentLogger, type Term, type Timers } from '@fleetmq/shared';
import { nodeChecksum, nodeTimers } from '@fleetmq/shared/runtime';
import { SnapshotReceiver } from './snapshot-receiver.ts';
import { SnapshotSender } from './snapshot-sender.ts';

const chunkBytes = 1_000;
const envelope = create(RaftEnvelopeSchema, { clusterId: 'c', senderId: 1, targetId: 2 });

function snapshotOf(index: number, bytes = 10_500): Message {
  const data = Uint8Array.from({ length: bytes }, (_, position) => (position * 7 + index) % 251);
  const confState = { ...emptyConfState, voters: [1, 2] };
  const snapshot = { index: index as LogIndex, term: 3 as Term, confState, data };
  return createMessage('MsgSnap', { from: 1, to: 2, term: 3 as Term, snapshot });
}

/** One node that sends and one that receives, with a link that does to the parts what the test wants. */
class Link {
  /** Positions of the chunks that were sent, one list per call. */
  readonly calls: number[][] = [];
  readonly installed: Message[] = [];
  readonly reports: string[] = [];
  /** What becomes of a part; throws to break the call off. */
  onPart: (part: InstallSnapshotRequest, call: number) => InstallSnapshotRequest | Promise<InstallSnapshotRequest> = (
    part,
  ) => part;
  readonly #receiver = new SnapshotReceiver({
    controllerId: 2,
    identity: { check: async () => 1 },
    checksum: nodeChecksum,
    snapshotBytesMax: 20_000,
    answerTimeoutMs: 1_000,
  });
  readonly #sender: SnapshotSender;

  constructor(options: { readonly stallTimeoutMs?: number; readonly timers?: Timers } = {}) {
    const transport = createRouterTransport(({ service }) =>
      service(ControllerRaftService, {
        installSnapshot: async (parts, { signal }) => {
          const { message, receivedBytes } = await this.#receiver.receive(this.#through(parts), signal);
          if (message !== undefined) this.installed.push(message);
          return create(InstallSnapshotResponseSchema, {
            success: message !== undefined,
            matchIndex: BigInt(message?.snapshot?.index ?? 0),
            receivedBytes: BigInt(receivedBytes),
          });
        },
      }),
    );
    this.#sender = new SnapshotSender({
      client: () => createClient(ControllerRaftService, transport),
      driver: {
        step: () => undefined,
        reportSnapshot: (id, outcome) => void this.reports.push(`${id} ${outcome}`),
      },
      envelopeFor: () => envelope,
      check: async () => undefined,
      checksum: nodeChecksum,
      timers: options.timers ?? nodeTimers,
      logger: silentLogger,
      chunkBytes,
      bytesPerSecond: 1e9,
      stallTimeoutMs: options.stallTimeoutMs ?? 5_000,
      answerTimeoutMs: 5_000,
    });
  }

  send(message: Message, signal = new AbortController().signal): Promise<void> {
    return this.#sender.send(message, signal);
  }

  async *#through(parts: AsyncIterable<InstallSnapshotRequest>): AsyncGenerator<InstallSnapshotRequest> {
    const chunks: number[] = [];
    this.calls.push(chunks);
    for await (const part of parts) {
      const passed = await this.onPart(part, this.calls.length);
      if (passed.part.case === 'chunk') chunks.push(Number(passed.part.value.position));
      yield passed;
    }
  }
}

function breakAt(position: number, call: number): Link['onPart'] {
  return (part, now) => {
    if (now === call && part.part.case === 'chunk' && part.part.value.position === BigInt(position)) {
      throw new DomainError('NOT_AVAILABLE', 'the link breaks');
    }
    return part;
  };
}

const positions = (from: number, to = 10_500): number[] =>
  Array.from({ length: Math.ceil((to - from) / chunkBytes) }, (_, index) => from + index * chunkBytes);

describe('snapshots on their way', () => {
  test('arrive whole, in chunks', async () => {
    const link = new Link();
    const message = snapshotOf(40);
    await link.send(message);
    assert.deepEqual(link.calls, [positions(0)]);
    assert.deepEqual(link.installed[0]?.snapshot, message.snapshot);
    assert.deepEqual(link.reports, ['2 finished']);
  });

  test('go on where they broke off, again and again', async () => {
    const link = new Link();
    link.onPart = breakAt(4_000, 1);
    await link.send(snapshotOf(40));
    link.onPart = breakAt(7_000, 3);
    await link.send(snapshotOf(40));
    await link.send(snapshotOf(40));
    // Each later attempt asks first, without chunks.
    assert.deepEqual(link.calls, [positions(0, 4_000), [], positions(4_000, 7_000), [], positions(7_000)]);
    assert.deepEqual(link.installed[0]?.snapshot, snapshotOf(40).snapshot);
    assert.deepEqual(link.reports, ['2 failed', '2 failed', '2 finished']);
  });

  test('another snapshot begins anew, and so does one whose receiver has forgotten it', async () => {
    const link = new Link();
    link.onPart = breakAt(4_000, 1);
    await link.send(snapshotOf(40));
    await link.send(snapshotOf(50));
    assert.deepEqual(link.calls[1], positions(0));
    // Another one came in between: of the first nothing is kept.
    const other = new Link();
    other.onPart = breakAt(4_000, 1);
    await other.send(snapshotOf(40));
    other.onPart = breakAt(2_000, 2);
    await other.send(snapshotOf(50));
    await other.send(snapshotOf(40));
    await other.send(snapshotOf(50));
    assert.deepEqual(
      other.installed.map(({ snapshot }) => snapshot?.index),
      [40, 50],
    );
  });

  test('a damaged chunk is refused, and what came before it is kept', async () => {
    const link = new Link();
    link.onPart = (part, call) => {
      if (call > 1 || part.part.case !== 'chunk' || part.part.value.position !== 3_000n) return part;
      part.part.value.data = part.part.value.data.slice();
      part.part.value.data[5] = (part.part.value.data[5] ?? 0) ^ 1;
      return part;
    };
    await link.send(snapshotOf(40));
    await link.send(snapshotOf(40));
    assert.deepEqual(link.calls.at(-1), positions(3_000));
    assert.deepEqual(link.installed[0]?.snapshot, snapshotOf(40).snapshot);
  });

  test('one that takes no chunks is given up; J25: a newer snapshot takes the place of one under way', async () => {
    const stalled = new Link({ stallTimeoutMs: 20 });
    stalled.onPart = () => new Promise(() => undefined);
    await stalled.send(snapshotOf(40));
    assert.deepEqual(stalled.reports, ['2 failed']);

    const link = new Link();
    const reached = Promise.withResolvers<void>();
    link.onPart = (part, call) => {
      if (call > 1 || part.part.case !== 'chunk' || part.part.value.position !== 2_000n) return part;
      reached.resolve();
      return new Promise(() => undefined);
    };
    const first = link.send(snapshotOf(40));
    await reached.promise;
    await Promise.all([first, link.send(snapshotOf(50))]);
    assert.deepEqual(
      link.installed.map(({ snapshot }) => snapshot?.index),
      [50],
    );
    assert.deepEqual(link.reports, ['2 finished']);
  });

  test('one that is larger than its receiver allows is refused', async () => {
    const link = new Link();
    await link.send(snapshotOf(40, 20_001));
    assert.deepEqual([link.installed, link.reports], [[], ['2 failed']]);
  });

  test('a stop ends it without a word to the core', async () => {
    const link = new Link();
    const stopping = new AbortController();
    link.onPart = (part) => {
      stopping.abort(new DomainError('SHUTTING_DOWN', 'stopping'));
      return part;
    };
    await link.send(snapshotOf(40), stopping.signal);
    assert.deepEqual(link.reports, []);
  });
});
