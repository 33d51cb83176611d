/** A Channel over the lane's transport: typed calls by Connect, hot ones as raw bytes. */
import type { LaneTransport } from '@fleetmq/shared/runtime';
import type { Channel } from '../rpc/channel.ts';
import { createConnectChannel } from '../rpc/connect-channel.ts';
import { toClientError } from '../rpc/errors.ts';

/** Asks for the transport for each call: a pool closes what is idle. */
export function laneChannel(baseUrl: string, transport: () => LaneTransport): Channel {
  return {
    address: baseUrl,
    unary: (method, request, call) => createConnectChannel(baseUrl, transport()).unary(method, request, call),
    async rawUnary(method, request, call) {
      try {
        return await transport().rawUnary(method, request, call);
      } catch (thrown) {
        throw toClientError(thrown);
      }
    },
    async *rawServerStream(method, request, call) {
      try {
        yield* transport().rawServerStream(method, request, call);
      } catch (thrown) {
        throw toClientError(thrown);
      }
    },
    rawBidi: (method, call) => transport().rawBidi(method, call),
  };
}
