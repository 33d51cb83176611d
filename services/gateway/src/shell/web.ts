/**
 * The HTTP side of the client listener, as a Fastify application without a socket of its own: the RPCs for everyone who does
 * not speak plain gRPC, CORS for pages, `/healthz`. The listener hands it requests of both HTTP versions.
 *
 * Never reads a body itself: the RPC plugin streams them under the limits of the RPC layer. Other content types than those
 * of the protocols get 415 before any handler runs, so a form of a foreign page reaches nothing.
 */
import { createServer } from 'node:http';
import { cors, createContextValues } from '@connectrpc/connect';
import { fastifyConnectPlugin } from '@connectrpc/connect-fastify';
import fastifyCors from '@fastify/cors';
import { assert, type Logger } from '@fleetmq/shared';
import { type ConnectParts, connectionKey, connectionOf, type NodeHandler } from '@fleetmq/shared/runtime';
import { type FastifyInstance, fastify } from 'fastify';

export interface WebOptions {
  readonly allowsOrigin: (origin: string) => boolean;
  readonly isReady: () => boolean;
  readonly logger: Logger;
}

/** How long a browser may remember the answer to a preflight. */
const preflightMaxAgeS = 7_200;
const ownHeaders = ['authorization', 'traceparent', 'tracestate'];

export interface Web extends AsyncDisposable {
  readonly handler: NodeHandler;
}

export async function createWeb(parts: ConnectParts, options: WebOptions): Promise<Web> {
  let handler: NodeHandler | undefined;
  const app = fastify({
    // Never listens: the sniffing listener owns the sockets and calls the handler.
    serverFactory(handle) {
      handler = handle as NodeHandler;
      return createServer();
    },
    logger: false,
    trustProxy: false,
    forceCloseConnections: false,
  });
  await app.register(fastifyCors, {
    origin: (origin, done) => done(null, origin !== undefined && options.allowsOrigin(origin)),
    methods: [...cors.allowedMethods],
    allowedHeaders: [...cors.allowedHeaders, ...ownHeaders],
    exposedHeaders: [...cors.exposedHeaders],
    maxAge: preflightMaxAgeS,
    credentials: false,
    strictPreflight: true,
  });
  await app.register(fastifyConnectPlugin, {
    ...parts.routerOptions,
    routes: parts.routes,
    contextValues: (request) => createContextValues().set(connectionKey, connectionOf(request.raw)),
  });
  addHealth(app, options.isReady);
  app.setErrorHandler((error: Error & { statusCode?: number }, request, reply) => {
    const status = error.statusCode ?? 500;
    if (status >= 500) options.logger.warn({ err: error, url: request.url }, 'a request could not be handled');
    return reply.code(status).send({ error: status >= 500 ? 'internal error' : error.message });
  });
  await app.ready();
  assert(handler !== undefined, 'Fastify has made its handler');
  return { handler, [Symbol.asyncDispose]: () => app.close() };
}

function addHealth(app: FastifyInstance, isReady: () => boolean): void {
  app.get('/healthz', (_, reply) => {
    const ready = isReady();
    return reply
      .code(ready ? 200 : 503)
      .header('cache-control', 'no-store')
      .send({ status: ready ? 'ready' : 'not ready' });
  });
}

/** Answers plain gRPC for methods that are not mounted as gRPC clients expect it; everything else goes to the application. */
export function withGrpcFallback(handler: NodeHandler, isMounted: (path: string) => boolean): NodeHandler {
  return (request, response) => {
    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    const contentType = request.headers['content-type'] ?? '';
    if (!/^application\/grpc(\+|;|\s|$)/i.test(contentType) || isMounted(path)) {
      handler(request, response);
      return;
    }
    request.resume();
    response.statusCode = 200;
    response.setHeader('content-type', 'application/grpc');
    response.setHeader('grpc-status', '12');
    response.setHeader('grpc-message', 'this method is not served here');
    response.end();
  };
}
