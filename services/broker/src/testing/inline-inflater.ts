/** Inflates at once, on the caller's own thread: in a simulation nothing may settle off its virtual time. */
import { defaultInflationLimits, inflateFrames } from '@fleetmq/record';
import { nodeCodecs } from '@fleetmq/record/codecs/node';
import type { Checksum } from '@fleetmq/shared';
import type { BatchInflater } from '../shell/inflater.ts';

export function createInlineInflater(checksum: Checksum): BatchInflater {
  const options = { checksum, codecs: nodeCodecs, limits: defaultInflationLimits };
  return {
    size: 0,
    inflate: async (bytes, accepted, answerBytesMax) =>
      inflateFrames(bytes, { ...options, accepted: new Set(accepted), answerBytesMax }),
  };
}
