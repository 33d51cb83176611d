/**
 * A Channel over any Connect transport (connect-web in pages, the router transport in tests), in binary format.
 *
 * Raw calls go through without a decode of their fields: the call is made with a message type that has no fields at all, so
 * that protobuf keeps everything as unknown fields, in order, and writes it back as it came
 * (https://protobuf.dev/programming-guides/proto3/#unknowns). Only the outermost tags are looked at.
 */
import {
  create,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type Message,
  toBinary,
} from '@bufbuild/protobuf';
import { type Empty, EmptySchema } from '@bufbuild/protobuf/wkt';
import type { Transport } from '@connectrpc/connect';
import { concatBytes } from '@fleetmq/shared';
import type { Channel, RawMessage } from './channel.ts';
import { toClientError } from './errors.ts';

export function createConnectChannel(address: string, transport: Transport): Channel {
  return {
    address,
    async unary(method, request, call) {
      try {
        const response = await transport.unary(method, call.signal, Math.ceil(call.timeoutMs), undefined, request);
        return response.message;
      } catch (thrown) {
        throw toClientError(thrown);
      }
    },
    async rawUnary(method, request, call) {
      const carried: DescMethodUnary = { ...method, input: EmptySchema, output: EmptySchema };
      try {
        const response = await transport.unary(
          carried,
          call.signal,
          Math.ceil(call.timeoutMs),
          undefined,
          wrap(request),
        );
        return unwrap(response.message);
      } catch (thrown) {
        throw toClientError(thrown);
      }
    },
    async *rawServerStream(method, request, call) {
      const carried: DescMethodServerStreaming = { ...method, input: EmptySchema, output: EmptySchema };
      try {
        const response = await transport.stream(carried, call.signal, undefined, undefined, once(wrap(request)));
        for await (const message of response.message) yield unwrap(message);
      } catch (thrown) {
        throw toClientError(thrown);
      }
    },
  };
}

function wrap(request: RawMessage): Empty {
  return fromBinary(EmptySchema, request instanceof Uint8Array ? request : concatBytes(request));
}

function unwrap(message: Message): Uint8Array {
  return toBinary(EmptySchema, { ...create(EmptySchema), ...(message.$unknown && { $unknown: message.$unknown }) });
}

async function* once<Item>(item: Item): AsyncGenerator<Item> {
  yield item;
}
