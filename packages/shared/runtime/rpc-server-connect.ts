/**
 * Connect as a node handler: routes requests to Connect's handlers with our limits, interceptors and error texts. Does what
 * `connectNodeAdapter` does, but logs by our logger, knows the connection of the caller, and survives requests whose
 * address makes no URL. gRPC clients that ask for a method which is not mounted get UNIMPLEMENTED as a gRPC status.
 */
import type { DescMethod } from '@bufbuild/protobuf';
import {
  Code,
  ConnectError,
  type ConnectRouter,
  type ConnectRouterOptions,
  type ContextValues,
  createConnectRouter,
  createContextValues,
  type HandlerContext,
  type Interceptor,
  type MethodImpl,
} from '@connectrpc/connect';
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from '@connectrpc/connect-node';
import { assert, DomainError, type Logger } from '@fleetmq/shared';
import { deadlineInterceptor } from './interceptors/deadline.ts';
import { errorInterceptor } from './interceptors/errors.ts';
import { bridgeRoute } from './lane/bridge.ts';
import { connectionKey, connectionOf } from './lane/connection.ts';
import type { CallObservation, Gate, LaneLimits } from './lane/limits.ts';
import { methodPath, type ServiceRoutes } from './lane/raw.ts';
import { errorTrailers } from './lane/status.ts';
import { toConnectError, toDomainError } from './rpc-errors.ts';
import type { NodeHandler } from './rpc-server-limits.ts';

export interface ConnectPartsOptions {
  readonly services: readonly ServiceRoutes[];
  readonly limits: LaneLimits;
  readonly logger: Logger;
  readonly interceptors: readonly Interceptor[];
  /** Codecs that are offered to Connect and gRPC-Web callers. Data services offer none: record batches are compressed already. */
  readonly acceptCompression: NonNullable<ConnectRouterOptions['acceptCompression']>;
  readonly draining: AbortSignal;
  /** Aborted when the drain is over: ends the calls that are still open. */
  readonly shutdown: AbortSignal;
  readonly gate: Gate | undefined;
  readonly onCall: ((observation: CallObservation) => void) | undefined;
}

/** What a server framework needs to mount the services: for `fastifyConnectPlugin` or `connectNodeAdapter`. */
export interface ConnectParts {
  readonly routerOptions: ConnectRouterOptions;
  readonly routes: (router: ConnectRouter) => void;
  /** Context values of a request, with its connection; frameworks that wrap requests pass the node request. */
  readonly contextValues: (request: Parameters<NodeHandler>[0]) => ContextValues;
}

/** Fails an assertion when a method of a service has neither a typed nor a raw handler. */
export function connectParts(options: ConnectPartsOptions): ConnectParts {
  const { limits, logger, gate } = options;
  const routerOptions: ConnectRouterOptions = {
    readMaxBytes: limits.readMaxBytes,
    writeMaxBytes: limits.writeMaxBytes,
    requireConnectProtocolHeader: true,
    acceptCompression: options.acceptCompression,
    shutdownSignal: options.shutdown,
    interceptors: [
      errorInterceptor({ logger, onCall: options.onCall }),
      deadlineInterceptor({ defaultTimeoutMs: limits.defaultTimeoutMs }),
      ...options.interceptors,
    ],
    ...(gate === undefined ? {} : { requestGate: (context: HandlerContext) => runGate(gate, context, logger) }),
  };
  return {
    routerOptions,
    contextValues: (request) => createContextValues().set(connectionKey, connectionOf(request)),
    routes(router) {
      for (const service of options.services) mountService(router, service, options);
    },
  };
}

function mountService(router: ConnectRouter, mounted: ServiceRoutes, options: ConnectPartsOptions): void {
  for (const method of mounted.service.methods) {
    const route = mounted.raw.find((candidate) => candidate.method === method);
    const implementation =
      route === undefined ? typedMethod(mounted, method.localName) : bridgeRoute(route, options.draining);
    assert(implementation !== undefined, `${methodPath(method)} is mounted without a handler`);
    const isUnary = method.methodKind === 'unary';
    router.rpc(method, implementation, { ...(isUnary ? { maxTimeoutMs: options.limits.maxTimeoutMs } : {}) });
  }
}

function typedMethod({ typed }: ServiceRoutes, name: string): MethodImpl<DescMethod> | undefined {
  const implementation: unknown = typed[name];
  return typeof implementation === 'function' ? (implementation.bind(typed) as MethodImpl<DescMethod>) : undefined;
}

async function runGate(gate: Gate, context: HandlerContext, logger: Logger): Promise<void> {
  try {
    await gate({
      method: context.method,
      header: (name) => context.requestHeader.get(name) ?? undefined,
      connection: context.values.get(connectionKey),
      values: context.values,
    });
  } catch (error) {
    throw error instanceof ConnectError ? error : toConnectError(toDomainError(error, logger));
  }
}

/** The handler for servers that have no framework of their own. */
export function connectHandler(parts: ConnectParts, logger: Logger): NodeHandler {
  const router = createConnectRouter(parts.routerOptions);
  parts.routes(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  return (request, response) => {
    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    const handler = handlers.get(path);
    if (handler === undefined) {
      answerUnknown(path, request, response);
      return;
    }
    // Throws for an authority that makes no URL; the listener answers that with 400.
    const universal = universalRequestFromNodeRequest(request, response, undefined, parts.contextValues(request));
    handler(universal)
      .then((answer) => universalResponseToNodeResponse(answer, response))
      .catch((error: unknown) => {
        if (ConnectError.from(error).code !== Code.Aborted)
          logger.debug({ err: error, path }, 'an answer was not delivered');
      });
  };
}

function answerUnknown(path: string, ...[request, response]: Parameters<NodeHandler>): void {
  request.resume();
  const contentType = request.headers['content-type'] ?? '';
  const isGrpc = /^application\/grpc/i.test(contentType);
  response.statusCode = isGrpc ? 200 : 404;
  response.setHeader('content-type', isGrpc ? contentType : 'text/plain; charset=utf-8');
  const status = isGrpc ? errorTrailers(new DomainError('UNIMPLEMENTED', `${path} is not served here`)) : {};
  for (const [name, value] of Object.entries(status)) response.setHeader(name, value);
  response.end();
}
