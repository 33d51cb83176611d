/** What the tests of a single broker share: batches and their texts, a topic on it, and the end of its log. */
import { fromBinary } from '@bufbuild/protobuf';
import { type RecordBatch, RecordBatchSchema } from '@fleetmq/gen/common/types';
import { BatchBuilder } from '@fleetmq/record';
import { nodeChecksum } from '@fleetmq/shared/runtime';
import { type TestFleet, until } from './fleet.fuzz.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();
export const record = (text: string) => ({ value: encoder.encode(text) });

export function builtBatch(texts: readonly string[], options: Parameters<BatchBuilder['build']>[0] = {}): RecordBatch {
  const builder = new BatchBuilder();
  for (const text of texts) builder.append(undefined, encoder.encode(text));
  return fromBinary(RecordBatchSchema, builder.build(options, nodeChecksum).bytes);
}

export const textsOf = (batches: readonly RecordBatch[]): string[] =>
  batches.flatMap(({ records }) => records.map(({ value }) => decoder.decode(value)));

/** A topic of one partition on broker 1. */
export async function topicOf(fleet: TestFleet, name: string, config: Record<string, string> = {}) {
  fleet.controller.createTopic(name, [1], { config });
  await until(`${name} is led`, () => fleet.broker(1).partitions.byName(name, 0)?.state.leader?.servable === true);
  return { topic: name, partition: 0 };
}

export function endOf(fleet: TestFleet, topic: string): number {
  return fleet.broker(1).partitions.byName(topic, 0)?.log?.endOffset ?? -1;
}
