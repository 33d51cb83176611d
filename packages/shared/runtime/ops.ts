/**
 * The ops listener: health and metrics over HTTP/1.1 on a private address, apart from every listener that serves data, so
 * that it answers when those are full. `/livez` answers whenever the event loop turns. `/readyz` and its alias `/healthz`
 * answer 200 or 503 with the conditions as JSON. `/metrics` and `/metrics/detail` are Prometheus text.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { MetricsRegistry } from './metrics.ts';
import type { Readiness } from './readiness.ts';

export interface OpsOptions {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly readiness: Readiness;
  readonly metrics: MetricsRegistry;
  /** Default 64; more are closed at once. */
  readonly connectionsMax?: number;
}

export interface OpsServer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const PROMETHEUS_TEXT = 'text/plain; version=0.0.4; charset=utf-8';

/** Resolves when it listens; rejects with the system's error (EADDRINUSE and its like) when it cannot. */
export async function startOps(options: OpsOptions): Promise<OpsServer> {
  const server = createServer(
    { maxHeaderSize: 8 * 1024, headersTimeout: 5_000, requestTimeout: 10_000 },
    (request, response) => respond(request, response, options),
  );
  server.maxConnections = options.connectionsMax ?? 64;
  await listen(server, options);
  const { port } = server.address() as AddressInfo;
  return { host: options.host, port, [Symbol.asyncDispose]: () => close(server) };
}

function respond(request: IncomingMessage, response: ServerResponse, options: OpsOptions): void {
  const answer = answerTo(request, options);
  request.resume();
  response.writeHead(answer.status, {
    'content-type': answer.type,
    'content-length': Buffer.byteLength(answer.body),
    'cache-control': 'no-store',
    ...(answer.status === 405 && { allow: 'GET, HEAD' }),
  });
  response.end(request.method === 'HEAD' ? undefined : answer.body);
}

function answerTo(request: IncomingMessage, { readiness, metrics }: OpsOptions): Answer {
  if (request.method !== 'GET' && request.method !== 'HEAD') return json(405, { error: 'only GET and HEAD' });
  const path = (request.url ?? '/').replace(/\?.*$/, '');
  switch (path) {
    case '/livez':
      return json(200, { status: 'alive' });
    case '/readyz':
    case '/healthz': {
      const { ready, conditions } = readiness.report();
      return json(ready ? 200 : 503, { status: ready ? 'ready' : 'not ready', conditions });
    }
    case '/metrics':
      return { status: 200, type: PROMETHEUS_TEXT, body: metrics.print('summary') };
    case '/metrics/detail':
      return { status: 200, type: PROMETHEUS_TEXT, body: metrics.print('detail') };
    default:
      return json(404, { error: `no ${path} here; there are /livez /readyz /healthz /metrics /metrics/detail` });
  }
}

function json(status: number, value: unknown): Answer {
  return { status, type: 'application/json; charset=utf-8', body: `${JSON.stringify(value)}\n` };
}

function listen(server: Server, { host, port }: OpsOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, exclusive: true }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** Answers here are immediate, so nothing is worth waiting for. */
function close(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.close((error) => (error === undefined ? resolve() : reject(error)));
    server.closeAllConnections();
  });
}
