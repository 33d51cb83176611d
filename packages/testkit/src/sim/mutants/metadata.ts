/** Planted bugs of the state machine, of its answers and of what watchers are told. */
import {
  DiskRaftStorage,
  decodeCommand,
  encodeCommand,
  joinEntryData,
  MetadataFeed,
  Proposals,
  StateMachine,
  splitEntryData,
} from '@fleetmq/controller/sim';
import type { LogIndex } from '@fleetmq/shared';
import { type Mutant, patch, patchCommands } from './mutant.ts';

export const metadataMutants: readonly Mutant[] = [
  {
    name: 'isr-epoch-ignored',
    about: 'a change of the ISR is not compared with the epochs of its partition',
    plant: () =>
      patchCommands((entry, machine) => {
        const { timestampMs, command } = splitEntryData(entry.data);
        const decoded = decodeCommand(command);
        if (decoded.kind !== 'change-isr') return entry;
        const partition = machine.image.partition(decoded.topicId, decoded.partition);
        if (partition === undefined || partition.leaderId !== decoded.brokerId) return entry;
        const { leaderEpoch, partitionEpoch } = partition;
        return {
          ...entry,
          data: joinEntryData({ timestampMs, command: encodeCommand({ ...decoded, leaderEpoch, partitionEpoch }) }),
        };
      }),
  },
  {
    name: 'broker-epoch-ignored',
    about: 'commands of an earlier life of a broker are carried out',
    plant: () =>
      patchCommands((entry, machine) => {
        const { timestampMs, command } = splitEntryData(entry.data);
        const decoded = decodeCommand(command);
        if (!('brokerEpoch' in decoded)) return entry;
        const brokerEpoch = machine.image.broker(decoded.brokerId)?.brokerEpoch ?? decoded.brokerEpoch;
        return { ...entry, data: joinEntryData({ timestampMs, command: encodeCommand({ ...decoded, brokerEpoch }) }) };
      }),
  },
  {
    name: 'feed-skips-an-event',
    about: 'the metadata feed leaves out the first event of every seventh change',
    plant: () => {
      let count = 0;
      return patch(
        MetadataFeed.prototype,
        'add',
        (real) =>
          function add(this: MetadataFeed, events, version) {
            const told = ++count % 7 === 0 ? events.slice(1) : events;
            real.call(this as never, told as never, version as never);
          },
      );
    },
  },
  {
    name: 'snapshot-too-old',
    about: 'a snapshot holds the state of the one before',
    plant: () => {
      const before = new WeakMap<StateMachine, Uint8Array>();
      return patch(
        StateMachine.prototype,
        'snapshotBytes',
        (real) =>
          function snapshotBytes(this: StateMachine) {
            const now = real.call(this as never) as Uint8Array;
            const old = before.get(this) ?? now;
            before.set(this, now);
            return old;
          },
      );
    },
  },
  {
    name: 'answered-too-early',
    about: 'a proposal is answered when the entry before it is applied',
    plant: () =>
      patch(
        Proposals.prototype,
        'settle',
        (real) =>
          function settle(this: Proposals, entry, outcome) {
            real.call(this as never, { ...entry, index: entry.index + 1 } as never, outcome as never);
          },
      ),
  },
  {
    name: 'applied-twice',
    about: 'a restart applies a command of the snapshot again',
    plant: () =>
      patch(
        DiskRaftStorage.prototype,
        'saveSnapshot',
        (real) =>
          function saveSnapshot(this: DiskRaftStorage, snapshot, kept) {
            const index = (snapshot.index - 1) as LogIndex;
            return real.call(this as never, { ...snapshot, index } as never, kept as never) as Promise<void>;
          },
      ),
  },
];
