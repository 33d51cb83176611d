/** The two directions of the demo: everything in, with a disaster half-way; everything out. */
import type { Client } from '@fleetmq/client/node';
import type { DemoRecord } from './flights.ts';
import type { Ledger } from './ledger.ts';
import { progress } from './progress.ts';

export interface Flow {
  readonly records: number;
  readonly bytes: number;
  readonly seconds: number;
}

/** Produces all records; every acknowledgment goes into the ledger. `halfWay` runs once, while producing goes on. */
export async function produceAll(
  mq: Client,
  topic: string,
  records: readonly DemoRecord[],
  ledger: Ledger,
  halfWay: () => Promise<void>,
): Promise<Flow> {
  const start = performance.now();
  await using producer = mq.producer();
  let disaster: Promise<void> | undefined;
  let failure: unknown;
  const bar = progress('produced', records.length);
  for (const { key, value } of records) {
    if (failure !== undefined) throw failure;
    const receipt = producer.send(topic, value, { key });
    receipt.then(
      ({ partition, offset }) => {
        ledger.add(partition, offset, key, value);
        bar.step();
        if (disaster === undefined && ledger.records * 2 >= records.length) disaster = halfWay();
      },
      (error: unknown) => {
        failure ??= error;
      },
    );
    await producer.ready();
  }
  await producer.flush();
  if (failure !== undefined) throw failure;
  await disaster;
  bar.stop();
  return { records: ledger.records, bytes: ledger.bytes, seconds: (performance.now() - start) / 1000 };
}

/** Reads the topic from its beginning to its end. */
export async function consumeAll(mq: Client, topic: string, ledger: Ledger): Promise<Flow> {
  const start = performance.now();
  const decoder = new TextDecoder();
  for await (const record of mq.consumer({ topic, from: 'earliest', until: 'end' })) {
    ledger.add(
      record.partition,
      record.offset,
      decoder.decode(record.key ?? undefined),
      record.value ?? new Uint8Array(),
    );
  }
  return { records: ledger.records, bytes: ledger.bytes, seconds: (performance.now() - start) / 1000 };
}
