/**
 * The hot RPCs as raw bytes: a handler gets and gives encoded protobuf messages and decodes what it likes. A route names
 * its method by the generated descriptor, so that path and kind come from the contract. The same route is served by the
 * gRPC lane as it is, and by Connect, gRPC-Web and JSON through `bridge.ts`.
 *
 * Ownership: request bytes are views of receive buffers; a handler that keeps them beyond its call copies them. Response
 * bytes belong to the runtime until the call has ended, and nobody may change them; who wants their memory back gives an
 * OwnedMessage, and is told when they have left.
 */
import type { DescMethod, DescService } from '@bufbuild/protobuf';
import type { ContextValues, ServiceImpl } from '@connectrpc/connect';
import type { DomainError } from '@fleetmq/shared';
import type { PeerConnection } from './connection.ts';
import type { RawMessage } from './frames.ts';

/** What a raw handler knows of its call. */
export interface RawContext {
  readonly method: DescMethod;
  /** Aborts when the caller cancels, the deadline passes, the connection dies or the server gives up; the reason is a DomainError. */
  readonly signal: AbortSignal;
  /** Aborts when the server begins to close: a long stream then ends cleanly, a long poll answers what it has. */
  readonly draining: AbortSignal;
  /** Milliseconds that are left now, 0 or more; undefined for a call without deadline. Measured on the monotonic clock. */
  readonly deadlineMs: number | undefined;
  /** A request header by its lower-case name. */
  readonly header: (name: string) => string | undefined;
  /** `address:port` of the caller. */
  readonly peer: string;
  readonly connection: PeerConnection;
  /** What the gate and others have learnt about this call, such as its principal. */
  readonly values: ContextValues;
  /**
   * Calls back once, when the call's stream is closed: its last bytes have left, or are dropped. For those who bound the
   * memory of answers. Absent for bridged calls, whose bytes Connect has copied by the time the handler returns.
   */
  readonly onClose?: (callback: () => void) => void;
  /**
   * Gives the caller up: its stream is reset with ENHANCE_YOUR_CALM, even when its status is decided and only bytes are left
   * that it does not take. Absent where `onClose` is.
   */
  readonly giveUp?: (reason: DomainError) => void;
}

export type RawUnaryHandler = (request: Uint8Array, context: RawContext) => Promise<RawMessage>;
export type RawServerStreamHandler = (request: Uint8Array, context: RawContext) => AsyncIterable<RawMessage>;
export type RawClientStreamHandler = (requests: AsyncIterable<Uint8Array>, context: RawContext) => Promise<RawMessage>;
export type RawBidiHandler = (requests: AsyncIterable<Uint8Array>, context: RawContext) => AsyncIterable<RawMessage>;

export type RawRoute =
  | { readonly kind: 'unary'; readonly method: DescMethod; readonly handler: RawUnaryHandler }
  | { readonly kind: 'server_streaming'; readonly method: DescMethod; readonly handler: RawServerStreamHandler }
  | { readonly kind: 'client_streaming'; readonly method: DescMethod; readonly handler: RawClientStreamHandler }
  | { readonly kind: 'bidi_streaming'; readonly method: DescMethod; readonly handler: RawBidiHandler };

type MethodOf<Kind extends DescMethod['methodKind']> = DescMethod & { methodKind: Kind };

export function rawUnary(method: MethodOf<'unary'>, handler: RawUnaryHandler): RawRoute {
  return { kind: 'unary', method, handler };
}

export function rawServerStream(method: MethodOf<'server_streaming'>, handler: RawServerStreamHandler): RawRoute {
  return { kind: 'server_streaming', method, handler };
}

export function rawClientStream(method: MethodOf<'client_streaming'>, handler: RawClientStreamHandler): RawRoute {
  return { kind: 'client_streaming', method, handler };
}

export function rawBidi(method: MethodOf<'bidi_streaming'>, handler: RawBidiHandler): RawRoute {
  return { kind: 'bidi_streaming', method, handler };
}

/** Path of a method in a URL: `/package.Service/Method`. */
export function methodPath(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

/** A service as the server mounts it: every method is either typed or raw. */
export interface ServiceRoutes {
  readonly service: DescService;
  readonly typed: Partial<ServiceImpl<DescService>>;
  readonly raw: readonly RawRoute[];
}

interface RawHandlers {
  unary: RawUnaryHandler;
  server_streaming: RawServerStreamHandler;
  client_streaming: RawClientStreamHandler;
  bidi_streaming: RawBidiHandler;
}

/** The raw handlers of some methods of a service; each must suit its method's kind. */
export type RawServiceImpl<Service extends DescService, Names extends keyof Service['method']> = {
  [Name in Names]: RawHandlers[Service['method'][Name]['methodKind']];
};

/** The methods of a service that are not raw, each of them required. */
export type TypedServiceImpl<Service extends DescService, RawNames> = {
  [Name in Exclude<keyof ServiceImpl<Service>, RawNames>]: ServiceImpl<Service>[Name];
};

/** A service without raw methods. */
export function typedRoutes<Service extends DescService>(service: Service, typed: ServiceImpl<Service>): ServiceRoutes {
  return { service, typed: typed as Partial<ServiceImpl<DescService>>, raw: [] };
}

/**
 * Joins the two halves of a service. A method that is in neither half does not compile, so a new RPC of the contract
 * cannot be forgotten.
 */
export function serviceRoutes<Service extends DescService, RawNames extends keyof Service['method']>(
  service: Service,
  raw: RawServiceImpl<Service, RawNames>,
  typed: TypedServiceImpl<Service, RawNames>,
): ServiceRoutes {
  const routes = Object.entries(raw).map(
    ([name, handler]) =>
      ({ kind: service.method[name]?.methodKind, method: service.method[name], handler }) as RawRoute,
  );
  return { service, typed: typed as Partial<ServiceImpl<DescService>>, raw: routes };
}
