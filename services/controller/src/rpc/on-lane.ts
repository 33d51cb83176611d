/**
 * Unary calls on the lane. Their messages are small and brokers make many of them, so that what a call costs is the way to
 * its handler: plain gRPC is served with one decode and one encode, without Connect in between. Streams stay as they are.
 * Whoever speaks Connect or gRPC-Web comes by the bridge.
 *
 * Handlers here know of their call its signal, and nothing else.
 */
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type Message,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import type { HandlerContext } from '@connectrpc/connect';
import { DomainError } from '@fleetmq/shared';
import { type RawRoute, rawUnary, type ServiceRoutes } from '@fleetmq/shared/runtime';

type Handler = (request: Message, context: Pick<HandlerContext, 'signal'>) => Message | Promise<Message>;

export function onLane({ service, typed, raw }: ServiceRoutes): ServiceRoutes {
  const unary: RawRoute[] = [];
  const streams: ServiceRoutes['typed'] = {};
  for (const [name, handler] of Object.entries(typed)) {
    const method = service.method[name];
    if (method?.methodKind !== 'unary') streams[name] = handler;
    else unary.push(unaryRoute(method as DescMethodUnary, (handler as unknown as Handler).bind(typed)));
  }
  return { service, typed: streams, raw: [...raw, ...unary] };
}

function unaryRoute(method: DescMethodUnary, handler: Handler): RawRoute {
  return rawUnary(method, async (bytes, { signal }) => {
    const answer = await handler(decodeRequest(method, bytes), { signal });
    return toBinary(method.output, create(method.output, answer));
  });
}

/** INVALID_REQUEST for bytes that are no request of this method. */
export function decodeRequest<Input extends DescMessage>(
  { name, input }: { readonly name: string; readonly input: Input },
  bytes: Uint8Array,
): MessageShape<Input> {
  try {
    return fromBinary(input, bytes);
  } catch (error) {
    throw new DomainError('INVALID_REQUEST', `the request of ${name} is no protobuf`, { cause: error });
  }
}
