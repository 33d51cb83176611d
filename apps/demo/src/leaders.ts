/** Watches, as any client could, who leads the topic's partitions, and for how long nobody does after a broker has died. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from '@fleetmq/client/node';

export interface LeaderWatch {
  /** The broker that leads most partitions. */
  busiest(): Promise<number>;
  /** From now on: until every partition that `victim` led has another leader. */
  startClock(victim: number): void;
  /** Milliseconds until that was so; 60 s at most. */
  outageMs(): Promise<number>;
}

export function watchLeaders(mq: Client, topic: string): LeaderWatch {
  let outage: Promise<number> = Promise.resolve(0);
  const leadersNow = async (): Promise<number[]> =>
    (await mq.admin.describeTopic(topic)).topic.partitions.map((partition) => partition.leaderId);

  async function measure(victim: number): Promise<number> {
    const start = performance.now();
    while (performance.now() - start < 60_000) {
      const leaders = await leadersNow();
      if (leaders.every((leader) => leader !== 0 && leader !== victim)) return performance.now() - start;
      await delay(10);
    }
    throw new Error(`broker ${victim} still leads partitions a minute after its death`);
  }

  return {
    async busiest() {
      const counts = new Map<number, number>();
      for (const leader of await leadersNow()) counts.set(leader, (counts.get(leader) ?? 0) + 1);
      const [first] = [...counts].sort(([, one], [, other]) => other - one);
      if (first === undefined) throw new Error('the topic has no partitions');
      return first[0];
    },
    startClock(victim) {
      outage = measure(victim);
    },
    outageMs: () => outage,
  };
}
