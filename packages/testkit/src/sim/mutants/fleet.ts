/** Planted bugs of brokers: what is durable, what is committed, who may lead. Each must be caught by an invariant of the fleet. */
import { IsrState, LeaderState, PartitionState, Replica } from '@fleetmq/broker/sim';
import type { FleetTwists } from '../fleet/brokers.ts';
import type { FleetSeedPart } from '../fleet/seed.ts';
import { liar, method, patch, patchGetter, together } from './mutant.ts';

export interface FleetMutant {
  readonly name: string;
  /** What it leaves out. */
  readonly about: string;
  readonly plant?: () => () => void;
  readonly twists?: FleetTwists;
  readonly fixed?: FleetSeedPart;
}

const { disk: logsNotSynced } = liar(/\.log$/);

export const fleetMutants: readonly FleetMutant[] = [
  {
    name: 'acknowledged-before-durable',
    about: 'batches are acknowledged when they are written, not when they are durable (J4)',
    ...(logsNotSynced === undefined ? {} : { twists: { disk: logsNotSynced } }),
  },
  {
    name: 'acknowledged-at-once',
    about: 'batches are acknowledged when the leader has taken them, whatever was asked for',
    plant: () => method(LeaderState.prototype, 'ackPoint').withAnswer(() => Number.POSITIVE_INFINITY),
  },
  {
    name: 'never-truncated',
    about: 'a follower keeps what its leader does not have',
    plant: () =>
      patch(
        Replica.prototype,
        'attach',
        (real) =>
          function attach(this: Replica, log) {
            log.truncateTo = () => Promise.resolve();
            real.call(this as never, log as never);
          },
      ),
  },
  {
    name: 'watermark-over-committed',
    about: 'who was proposed for the in-sync replicas is not waited for until the controllers have answered (P7)',
    plant: () => patchGetter(IsrState.prototype, 'maximal', (_, isr) => isr.committed),
  },
  {
    name: 'watermark-of-a-gone-log',
    about: 'a recorded watermark is taken for that of the empty log that came in the place of the one it was of',
    plant: () => patch(PartitionState.prototype, 'onLogOpened', () => () => undefined),
  },
  {
    name: 'failed-logs-count',
    about: 'what a follower had confirmed before its log failed counts still, when it begins an empty one (P14)',
    fixed: { fleetFaults: ['failing-disk'], faultEveryMs: 2_000, faultLastsMs: 2_000, lagTimeMaxMs: 1_000 },
    plant: () =>
      together(
        patch(LeaderState.prototype, 'onFollowerFailed', () => () => undefined),
        patch(LeaderState.prototype, 'mayRebuild', () => () => true),
      ),
  },
];
