/** Records per second into a topic and out of it: the clock starts with the first record and stops with the last one. */
import type { Workload } from '../workload.ts';
import type { Driver } from './driver.ts';

export interface ThroughputJob {
  readonly topic: string;
  readonly workload: Workload;
  readonly count: number;
}

/** Seconds until the last acknowledgment. */
export async function measureProduce(driver: Driver, job: ThroughputJob): Promise<number> {
  let startMs = Number.NaN;
  const begin = (): void => {
    startMs = performance.now();
  };
  await driver.produce({ ...job, begin });
  return (performance.now() - startMs) / 1000;
}

/** Seconds until the last value was looked at: its length and both of its ends. */
export async function measureConsume(driver: Driver, job: ThroughputJob): Promise<number> {
  const { count, workload } = job;
  let startMs = Number.NaN;
  const begin = (): void => {
    startMs = performance.now();
  };
  let records = 0;
  let bytes = 0;
  let ends = 0;
  await driver.consume({ ...job, begin }, (value) => {
    records++;
    bytes += value.length;
    ends += (value[0] as number) + (value[value.length - 1] as number);
  });
  const seconds = (performance.now() - startMs) / 1000;
  if (records !== count || bytes !== count * workload.size || !(ends > 0)) {
    throw new Error(`${records} of ${count} records were read, ${bytes} bytes`);
  }
  return seconds;
}
