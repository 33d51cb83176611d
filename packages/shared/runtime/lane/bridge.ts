/**
 * Serves raw routes to everyone who does not speak plain gRPC: Connect (binary and JSON), gRPC-Web and gRPC-JSON. Connect
 * decodes the request, the bridge encodes it again for the raw handler and decodes the answer, so that each hot RPC is
 * written once. Slower than the lane by these two steps, and only on these paths.
 */
import {
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
  type Message,
  toBinary,
} from '@bufbuild/protobuf';
import type { HandlerContext, MethodImpl, ServiceImpl } from '@connectrpc/connect';
import { deadlineKey } from '../interceptors/deadline.ts';
import { connectionKey } from './connection.ts';
import { joinPieces, type RawMessage } from './frames.ts';
import type { RawContext, RawRoute } from './raw.ts';

/** The methods of raw routes for a ConnectRouter. `draining` is the server's signal of the same name; absent: never. */
export function bridgeRaw(
  routes: readonly RawRoute[],
  draining: AbortSignal = new AbortController().signal,
): Partial<ServiceImpl<DescService>> {
  return Object.fromEntries(routes.map((route) => [route.method.localName, bridgeRoute(route, draining)]));
}

/** One method of a raw route. */
export function bridgeRoute(route: RawRoute, draining: AbortSignal): MethodImpl<DescMethod> {
  const { input, output } = route.method;
  const contextOf = (context: HandlerContext): RawContext => bridgedContext(route.method, context, draining);
  switch (route.kind) {
    case 'unary':
      return (async (request: Message, context: HandlerContext) =>
        decode(output, await route.handler(toBinary(input, request), contextOf(context)))) as MethodImpl<DescMethod>;
    case 'server_streaming':
      return ((request: Message, context: HandlerContext) =>
        decodeAll(output, route.handler(toBinary(input, request), contextOf(context)))) as MethodImpl<DescMethod>;
    case 'client_streaming':
      return (async (requests: AsyncIterable<Message>, context: HandlerContext) =>
        decode(output, await route.handler(encodeAll(input, requests), contextOf(context)))) as MethodImpl<DescMethod>;
    case 'bidi_streaming':
      return ((requests: AsyncIterable<Message>, context: HandlerContext) =>
        decodeAll(output, route.handler(encodeAll(input, requests), contextOf(context)))) as MethodImpl<DescMethod>;
  }
}

function bridgedContext(method: DescMethod, context: HandlerContext, draining: AbortSignal): RawContext {
  const connection = context.values.get(connectionKey);
  return {
    method,
    signal: context.signal,
    draining,
    get deadlineMs(): number | undefined {
      const endsAt = context.values.get(deadlineKey);
      const left = context.timeoutMs() ?? (endsAt === undefined ? undefined : endsAt - performance.now());
      return left === undefined ? undefined : Math.max(0, left);
    },
    header: (name) => context.requestHeader.get(name) ?? undefined,
    peer: connection.address,
    connection,
    values: context.values,
  };
}

function decode(output: DescMessage, message: RawMessage): Message {
  return fromBinary(output, joinPieces(message));
}

async function* decodeAll(output: DescMessage, messages: AsyncIterable<RawMessage>): AsyncIterable<Message> {
  for await (const message of messages) yield decode(output, message);
}

async function* encodeAll(input: DescMessage, messages: AsyncIterable<Message>): AsyncIterable<Uint8Array> {
  for await (const message of messages) yield toBinary(input, message);
}
