/** The two directions of the demo: everything in, with a disaster half-way; everything out. */
import type { Client, DeliveryReport, DomainError, ProducerRecord } from '@fleetmq/client/node';
import type { DemoRecord } from './flights.ts';
import type { Ledger } from './ledger.ts';
import { progress } from './progress.ts';

/** How many records may be under way: few enough that the disaster meets a producer at work. */
const bufferRecords = 20_000;

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
  const bar = progress('produced', records.length);
  let disaster: Promise<void> | undefined;
  let failure: DomainError | undefined;
  const onDelivery = ({ partition, baseOffset, contexts, error }: DeliveryReport): void => {
    failure ??= error;
    if (baseOffset === undefined) return;
    for (const [position, context] of contexts.entries()) {
      const { key, value } = context as DemoRecord;
      ledger.add(partition, baseOffset + position, key, value);
      bar.step();
    }
    if (disaster === undefined && ledger.records * 2 >= records.length) disaster = halfWay();
  };
  await using producer = mq.producer({ onDelivery, bufferRecords });
  await producer.sendBatch(outgoing(topic, records));
  await producer.flush();
  if (failure !== undefined) throw failure;
  await disaster;
  bar.stop();
  return { records: ledger.records, bytes: ledger.bytes, seconds: (performance.now() - start) / 1000 };
}

function* outgoing(topic: string, records: readonly DemoRecord[]): Iterable<ProducerRecord> {
  for (const record of records) yield { topic, key: record.key, value: record.value, context: record };
}

/** What one reader got. */
export interface Reading {
  readonly name: string;
  readonly flow: Flow;
  readonly ledger: Ledger;
}

/** Reads the topic from its beginning to its end. */
export async function consumeAll(name: string, mq: Client, topic: string, ledger: Ledger): Promise<Reading> {
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
  const seconds = (performance.now() - start) / 1000;
  return { name, flow: { records: ledger.records, bytes: ledger.bytes, seconds }, ledger };
}
