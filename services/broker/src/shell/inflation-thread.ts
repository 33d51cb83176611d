/**
 * The thread that inflates batches for readers without the codec (see inflater.ts): one job after the other, its bytes in and
 * the answer's bytes out without a copy. It knows nothing of the broker, and holds nothing between two jobs.
 */
import { parentPort } from 'node:worker_threads';
import { inflateFrames } from '@fleetmq/record';
import { nodeCodecs } from '@fleetmq/record/codecs/node';
import { isDomainError } from '@fleetmq/shared';
import { nodeChecksum } from '@fleetmq/shared/runtime/checksum';
import type { InflationJob, InflationResult } from './inflater.ts';

parentPort?.on('message', (job: InflationJob) => {
  const result = run(job);
  // What another buffer shares its memory with cannot be given away.
  if (result.kind === 'done' && result.bytes.byteLength !== result.bytes.buffer.byteLength) {
    result.bytes = new Uint8Array(result.bytes);
  }
  parentPort?.postMessage(result, result.kind === 'done' ? [result.bytes.buffer as ArrayBuffer] : []);
});

function run({ bytes, accepted, limits, answerBytesMax }: InflationJob): InflationResult {
  try {
    const options = { accepted: new Set(accepted), checksum: nodeChecksum, codecs: nodeCodecs, limits, answerBytesMax };
    return { kind: 'done', ...inflateFrames(bytes, options) };
  } catch (error) {
    if (isDomainError(error)) return { kind: 'refused', code: error.code, message: error.message };
    return { kind: 'failed', message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}
