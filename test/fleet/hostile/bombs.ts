/**
 * Decompression bombs in each codec. A broker stores a compressed batch without looking into it, so storing one must be cheap;
 * a reader that takes no codec makes it inflate. What is over the caps must be refused before memory is taken, and what is just
 * below them (4 MiB out of 16 KiB, 100,000 records, two million headers) must not hold up anybody else.
 */
import { AcknowledgmentLevel, type CompressionType } from '@fleetmq/gen/common/types';
import {
  type Bomb as Bytes,
  type CodecName,
  codecs,
  lyingSize,
  manyHeaders,
  manyRecords,
  zeros,
} from './bomb-bytes.ts';
import { atEachDoor, type Door } from './doors.ts';
import { type HostileOrder, paced, Tally } from './tally.ts';

/** Per door. Each read makes the broker inflate up to 4 MiB. */
const readsPerSecond = 10;
const storesPerSecond = 10;
const mebibyte = 1024 * 1024;
/** Below the 4 MiB that a batch may become and an answer may have. */
const almostFull = 4 * mebibyte - 4_096;

/** What a broker says that has too much to inflate, and a gateway that has found it so for a while. */
const overloaded = ['LIMIT_EXCEEDED', 'NOT_AVAILABLE'];

interface Bomb extends Bytes {
  readonly what: string;
  readonly codec: CompressionType;
  /** What a reader that takes no codec gets. */
  readonly codes: readonly string[];
}

function bombsOf(name: CodecName): Bomb[] {
  const codec = codecs[name] as CompressionType;
  const lie = name === 'lz4' ? ['RECORD_TOO_LARGE', 'CORRUPT_BATCH'] : ['RECORD_TOO_LARGE'];
  const bombs: Omit<Bomb, 'codec'>[] = [
    { what: 'of almost 4 MiB', carried: zeros(name, almostFull), recordCount: 1, codes: ['OK'] },
    { what: 'of many records', ...manyRecords(name), codes: ['OK'] },
    { what: 'of many headers', ...manyHeaders(name, 3_900_000), codes: ['OK'] },
    { what: 'of 5 MiB', carried: zeros(name, 5 * mebibyte), recordCount: 1, codes: ['RECORD_TOO_LARGE'] },
    { what: 'of 20 MiB', carried: zeros(name, 20 * mebibyte), recordCount: 1, codes: ['RECORD_TOO_LARGE'] },
    { what: 'that lies about its size', carried: lyingSize(name), recordCount: 1, codes: lie },
    { what: 'that lies about its records', carried: zeros(name, 1_000), recordCount: 9, codes: ['CORRUPT_BATCH'] },
  ];
  return bombs.map((bomb) => ({ ...bomb, what: `${name} bomb ${bomb.what}`, codec }));
}

export async function bombs(order: HostileOrder): Promise<Tally> {
  const tally = new Tally();
  const all = (Object.keys(codecs) as CodecName[]).flatMap(bombsOf);
  const { seconds } = order;
  await atEachDoor(order, async (door) => {
    const offsets = await Promise.all(all.map((bomb) => store(door, order.topic, bomb)));
    await Promise.all([
      paced({ perSecond: readsPerSecond, seconds }, async (index) => {
        const { what, codes } = all[index % all.length] as Bomb;
        const fetchOffset = offsets[index % all.length] as bigint;
        tally.act();
        const partitions = [
          { topicPartition: { topic: order.topic, partition: 0 }, fetchOffset, partitionMaxBytes: 1 },
        ];
        tally.expect(`${door.name}: read of a ${what}`, await door.fetchCode({ partitions }), [
          ...codes,
          ...overloaded,
        ]);
      }),
      paced({ perSecond: storesPerSecond, seconds }, async (index) => {
        tally.act();
        await store(door, order.topic, all[index % all.length] as Bomb);
        tally.note('stored');
      }),
    ]);
  });
  return tally;
}

async function store({ producer }: Door, topic: string, bomb: Bomb): Promise<bigint> {
  const batch = { compressionType: bomb.codec, compressedRecords: bomb.carried, recordCount: bomb.recordCount };
  const answer = await producer.produceBatch({
    partitions: [{ topicPartition: { topic, partition: 0 }, batch }],
    acks: AcknowledgmentLevel.ACK_ALL,
  });
  const [partition] = answer.partitions;
  if (partition === undefined || partition.errorCode !== 0) {
    throw new Error(`a ${bomb.what} was not stored: ${partition?.errorMessage}`);
  }
  return partition.offset;
}
