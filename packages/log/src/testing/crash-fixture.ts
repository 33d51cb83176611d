/** Small logs for the tests of crashes and of damage: what is in them can be told from the records alone. */
import type { ValidatedBatch } from '@fleetmq/record';
import { assert, type DomainError } from '@fleetmq/shared';
import type { LogConfig, PartitionLog } from '../index.ts';
import { batch, epoch, openTestLog } from './batches.ts';
import type { MemoryDisk } from './memory-disk.ts';

export const config: Partial<LogConfig> = {
  segmentBytes: 700,
  checkpointBytes: 900,
  indexIntervalBytes: 150,
  retentionMs: -1,
};

const batches = new Map<number, ValidatedBatch>();

/** One or two records whose values say where they were meant to be. Batches never change, so each is made once. */
function batchOf(number: number): ValidatedBatch {
  const values = Array.from({ length: 1 + (number % 2) }, (_, i) => `${number}/${i}${'.'.repeat((number * 7) % 40)}`);
  const producer = { producerId: BigInt(1 + (number % 3)), producerEpoch: number, idempotencyKey: `key-${number}` };
  const made = batches.get(number) ?? batch(values, producer);
  batches.set(number, made);
  return made;
}

export function append(log: PartitionLog, number: number, leaderEpoch = 1): void {
  log.appendAsLeader(batchOf(number), { leaderEpoch: epoch(leaderEpoch), appendTimeMs: 1000 + number });
}

export async function opened(disk: MemoryDisk, settings = config): Promise<PartitionLog | DomainError> {
  try {
    return await openTestLog(disk, settings);
  } catch (error) {
    assert((error as DomainError).name === 'DomainError', String(error));
    return error as DomainError;
  }
}
