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
import { type Mutant, method, patchCommands } from './mutant.ts';

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
      return method(MetadataFeed.prototype, 'add').withArguments(([events, version]) => {
        return [++count % 7 === 0 ? events.slice(1) : events, version];
      });
    },
  },
  {
    name: 'snapshot-too-old',
    about: 'a snapshot holds the state of the one before',
    plant: () => {
      const before = new WeakMap<StateMachine, Uint8Array>();
      return method(StateMachine.prototype, 'snapshotBytes').withAnswer((now, machine) => {
        const old = before.get(machine) ?? now;
        before.set(machine, now);
        return old;
      });
    },
  },
  {
    name: 'answered-too-early',
    about: 'a proposal is answered when the entry before it is applied',
    plant: () =>
      method(Proposals.prototype, 'settle').withArguments(([entry, outcome]) => [
        { ...entry, index: (entry.index + 1) as LogIndex },
        outcome,
      ]),
  },
  {
    name: 'applied-twice',
    about: 'a restart applies a command of the snapshot again',
    plant: () =>
      method(DiskRaftStorage.prototype, 'saveSnapshot').withArguments(([snapshot, kept]) => [
        { ...snapshot, index: (snapshot.index - 1) as LogIndex },
        kept,
      ]),
  },
];
