/**
 * For tests of what a client does on other threads: an LZ4 codec whose background work ends when, and as, the test says, and a
 * client that has it. Without a word of the test nothing ends.
 */
import { createConnectTransport } from '@connectrpc/connect-web';
import { type BackgroundCodec, type Codec, codecsOf } from '@fleetmq/record';
import { lz4 } from '@fleetmq/record/codecs/node';
import { nodeChecksum } from '@fleetmq/shared/runtime';
import { Client } from '../client.ts';
import { createChannelPool } from '../rpc/channel.ts';
import { createConnectChannel } from '../rpc/connect-channel.ts';

export interface Job {
  readonly bytes: number;
  /** The work is done now. */
  finish(): void;
  fail(error: unknown): void;
}

/** Everything is done in the background, however short. */
export class HeldCodec {
  /** In the order in which they were begun. */
  readonly jobs: Job[] = [];
  readonly codec: Codec;

  constructor(onJob: (job: Job) => void = () => undefined, from = 0) {
    const background: BackgroundCodec = {
      compressFrom: from,
      compress: (bytes) => this.#hold(bytes, onJob, () => lz4.compress(bytes)),
      decompressFrom: from,
      decompress: (bytes, most) => this.#hold(bytes, onJob, () => lz4.decompress(bytes, most)),
    };
    this.codec = { ...lz4, background };
  }

  /** Resolves when so many jobs have been begun. */
  async begun(count: number): Promise<void> {
    while (this.jobs.length < count) await turn();
  }

  #hold(bytes: Uint8Array, onJob: (job: Job) => void, work: () => Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      // Only now: the input must be left alone until here.
      const job: Job = { bytes: bytes.length, finish: () => resolve(work()), fail: reject };
      this.jobs.push(job);
      onJob(job);
    });
  }
}

/** Lets everything run that can run now. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A client with this codec and no other. */
export function clientWith(codec: Codec, url: string): Client {
  const pool = createChannelPool((baseUrl) =>
    createConnectChannel(baseUrl, createConnectTransport({ baseUrl, useBinaryFormat: true })),
  );
  const entrance = { kind: 'gateway', url } as const;
  return new Client({}, { entrance, pool, codecs: codecsOf(codec), checksum: nodeChecksum, later: setImmediate });
}
