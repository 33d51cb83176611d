/** What a partition holds, as the client's own consumer reads it. */
import { codec, connect } from '../node.ts';

/** Values of a partition, in order. */
export async function valuesOf(url: string, topic: string, partition = 0): Promise<string[]> {
  await using client = await connect({ url });
  const consumer = client.consumer({
    assignment: [{ topic, partition }],
    from: 'earliest',
    until: 'end',
    value: codec.string,
  });
  const values: string[] = [];
  for await (const { value } of consumer) values.push(value as string);
  return values;
}
